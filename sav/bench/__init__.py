"""``sav bench``: the experiments behind what the README says, each one command."""
