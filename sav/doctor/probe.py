"""Imports what SAV stands on, one after the other, and says how each went.

A process of its own, because an import can do worse than raise: a library that was built for
another processor ends the process, and one on a dead network drive never returns. It is run as a
file, so that it needs nothing but Python:

    python -P probe.py FOLDER STEP ...

where FOLDER has the package ``sav``.

For each step it writes two lines of JSON: ``{"step": NAME}`` before, and after it
``{"step": NAME, "value": ..., "error": ...}``.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any


def _torch() -> dict[str, Any]:
    import torch  # noqa: PLC0415

    cuda = torch.cuda
    devices = [cuda.get_device_properties(i) for i in range(cuda.device_count())]
    return {
        "cuda": torch.version.cuda,
        "gpus": [{"name": one.name, "bytes": one.total_memory} for one in devices],
        "mps": torch.backends.mps.is_available(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def _engine() -> str:
    from sav.d2 import engine_description  # noqa: PLC0415

    return engine_description()


def _sav() -> dict[str, Any]:
    importlib.import_module("sav.predict.predictor")
    from sav.device import check_device  # noqa: PLC0415
    from sav.precision import has_bf16  # noqa: PLC0415

    device = check_device(None)
    return {"device": device, "bf16": has_bf16(device)}


MODULES = {
    "numpy": "numpy",
    "torch": "torch",
    "torchvision": "torchvision",
    "opencv": "cv2",
    "faiss": "faiss",
    "pycocotools": "pycocotools.mask",
    "pillow": "PIL.Image",
    "scipy": "scipy.ndimage",
    "safetensors": "safetensors",
}
"""What is compiled, and so breaks most easily: the module that shows whether it works."""

STEPS: dict[str, Callable[[], Any]] = {
    **{step: partial(importlib.import_module, module) for step, module in MODULES.items()},
    "torch": _torch,
    "engine": _engine,
    "sav": _sav,
}
"""What is tried, in this order."""

NOT_INSTALLED = "not installed"


def _try(step: str) -> dict[str, Any]:
    try:
        value = STEPS[step]()
    except BaseException as error:  # whatever happens in there is what is asked for
        return {"step": step, "value": None, "error": _describe(step, error)}
    return {"step": step, "value": value if isinstance(value, str | dict) else None, "error": None}


def _describe(step: str, error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and missing == MODULES.get(step, "").partition(".")[0]:
        return NOT_INSTALLED
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _lines(step: str) -> Iterator[dict[str, Any]]:
    yield {"step": step}
    yield _try(step)


def main(folder: str, *steps: str) -> None:
    """Try the steps; what libraries print on the way goes to the error stream."""
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for step in steps:
            for line in _lines(step):
                answers.write(json.dumps(line) + "\n")
                answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
