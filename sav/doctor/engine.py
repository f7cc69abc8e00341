"""Which engine stands behind the door to Detectron2, and whether SAV runs on it."""

from __future__ import annotations

import importlib.util
import os

from sav.doctor.imports import Outcome
from sav.doctor.item import Item, wrong


def check_engine(outcomes: dict[str, Outcome]) -> list[Item]:
    """The engine, why it is this one, and whether everything of SAV can be imported.

    Args:
        outcomes: of the probe.
    """
    engine, sav = outcomes["engine"], outcomes["sav"]
    wanted = os.environ.get("SAV_ENGINE") or "auto"
    why = f"SAV_ENGINE is {wanted}"
    if wanted == "auto":
        installed = importlib.util.find_spec("detectron2") is not None
        why = f"detectron2 is {'' if installed else 'not '}installed"
    without = "set SAV_ENGINE=builtin, or install detectron2 anew as docs/install.md says"
    again = "see which package the error names, and install it as 'pip install .' would"
    value = f"{engine.value}, because {why}"
    return [
        _item("engine", value if engine.works else why, engine, without),
        _item("sav.predict", "can be imported", sav, again),
    ]


def _item(name: str, value: str, outcome: Outcome, mend: str) -> Item:
    if outcome.works:
        return Item(name, value)
    if outcome.because_of:
        return Item(name, f"not tried: it needs {outcome.because_of}")
    return wrong(name, f"{outcome.error} ({value})" if name == "engine" else outcome.error, mend)
