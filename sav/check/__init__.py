"""``sav check``: finds probable faults in part annotations, the worst first."""
