"""What XML can hold."""

from __future__ import annotations

import re

from sav.errors import SAVError

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str) -> str:
    """The same text.

    Raises:
        SAVError: it has a character that no XML may have, however it is written.
    """
    if _NOT_IN_XML.search(text):
        raise SAVError(f"{text!a}: has a character that XML cannot hold; rename it")
    return text
