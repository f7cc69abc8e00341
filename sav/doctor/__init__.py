"""What ``sav doctor`` looks at: whether SAV can work on this machine, and what is missing.

Nothing here imports torch, or anything else that may be broken: that is tried in a process of its
own (:mod:`sav.doctor.probe`). Nothing is downloaded.
"""
