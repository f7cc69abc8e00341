"""Help that ends with examples and states all defaults."""

from __future__ import annotations

import argparse
from typing import Any

_EXAMPLES = "examples:\n"


def examples(*lines: str) -> dict[str, Any]:
    """Arguments of a parser: its help ends with these command lines, and states all defaults."""
    text = "".join(f"  {line}\n" for line in lines)
    return {"epilog": _EXAMPLES + text, "formatter_class": HelpFormatter}


class HelpFormatter(argparse.HelpFormatter):
    """Wraps descriptions, keeps the lines of examples, and ends each help with the default."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(_EXAMPLES) else super()._fill_text(text, width, indent)

    def _get_help_string(self, action: argparse.Action) -> str:
        text, value = action.help or "", action.default
        unsaid = value is None or isinstance(value, bool) or value in ("", [], argparse.SUPPRESS)
        if unsaid or "default" in text:
            return text
        shown = " ".join(map(str, value if isinstance(value, list) else [value]))
        stated = f"(default: {shown})".replace("%", "%%")
        return f"{text} {stated}".strip()
