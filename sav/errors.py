"""What users see when something is wrong with their input."""

from __future__ import annotations


class SAVError(Exception):
    """A problem that the user can mend.

    The message is one line: the file and the record, what is wrong, and what to do about it.
    """
