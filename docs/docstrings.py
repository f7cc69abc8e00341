"""A Griffe extension: reStructuredText of docstrings as Markdown, for the API reference."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":\w+:`~?([^`]+)`")


class Docstrings(Extension):
    """Turns roles into code, and ``::`` before code into a colon."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called for each object when all of its package is loaded."""
        if obj.docstring:
            text = _ROLE.sub(r"`\1`", obj.docstring.value)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)
