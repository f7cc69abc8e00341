"""The sub-commands of ``sav``, one file each, see :mod:`sav.cli`."""
