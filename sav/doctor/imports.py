"""Runs the probe, and goes on behind what ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sav.doctor import probe

_FOLDER = str(Path(__file__).parents[2])
_SECONDS = 120
_NEEDS = {
    "torch": ("numpy",),
    "torchvision": ("torch",),
    "faiss": ("numpy",),
    "pycocotools": ("numpy",),
    "opencv": ("numpy",),
    "scipy": ("numpy",),
    "engine": ("numpy", "torch", "torchvision", "opencv", "pycocotools", "pillow"),
    "sav": tuple(step for step in probe.STEPS if step != "sav"),
}
"""Steps without which another tells nothing new."""


@dataclass(frozen=True)
class Outcome:
    """How a step went.

    Attributes:
        value: what it says.
        error: in one line; empty where it went well.
        because_of: the step that failed before it and that it needs; it was not tried.
    """

    value: Any = None
    error: str = ""
    because_of: str = ""

    @property
    def works(self) -> bool:
        """Whether it went well."""
        return not self.error and not self.because_of


def try_imports(seconds: float = _SECONDS) -> dict[str, Outcome]:
    """Try every step of the probe.

    Args:
        seconds: after which an import counts as one that never ends.

    Returns:
        the outcomes by step, in the probe's order.
    """
    outcomes: dict[str, Outcome] = {}
    while len(outcomes) < len(probe.STEPS):
        rest = [step for step in probe.STEPS if step not in outcomes]
        outcomes |= _run(rest, seconds)
    failed = {step for step, outcome in outcomes.items() if outcome.error}
    for step, outcome in outcomes.items():
        needed = next((need for need in _NEEDS.get(step, ()) if need in failed), "")
        if needed and outcome.error not in ("", probe.NOT_INSTALLED):
            outcomes[step] = Outcome(because_of=needed)
    return outcomes


def _run(steps: list[str], seconds: float) -> dict[str, Outcome]:
    """One process: the outcomes as far as it came, at least the first."""
    command = [sys.executable, "-P", probe.__file__, _FOLDER, *steps]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **streams) as process:
        try:
            answers, _ = process.communicate(timeout=seconds)
            end = _describe(process.returncode)
        except subprocess.TimeoutExpired:
            process.kill()
            answers, _ = process.communicate()
            end = f"does not end within {seconds:g} seconds"
    return _read(answers, steps[0], end)


def _read(answers: str, first: str, end: str) -> dict[str, Outcome]:
    outcomes = {}
    begun = first
    for line in answers.splitlines():
        answer = json.loads(line)
        begun = answer["step"]
        if "error" in answer:
            outcomes[begun] = Outcome(answer["value"], answer["error"] or "")
    if begun not in outcomes:
        outcomes[begun] = Outcome(error=end)
    return outcomes


def _describe(code: int) -> str:
    if code < 0:
        return f"ends the process ({signal.Signals(-code).name})"
    return f"ends the process (exit code {code})"
