"""Where a model runs: the one check of what users ask for."""

from __future__ import annotations

import torch

from sav.errors import SAVError


def check_device(device: str | torch.device | None, option: str = "device") -> str:
    """Refuse a device that is not here.

    Args:
        device: cpu, cuda, cuda:1, mps; None takes a GPU of CUDA when there is one, else the CPU.
        option: what the user sets, for the error.

    Returns:
        its name.

    Raises:
        SAVError: the name is none of these, or this machine, or this torch, has no such device.
    """
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except (RuntimeError, TypeError):
        kind, index = "", 0
    if kind not in ("cpu", "cuda", "mps"):
        raise SAVError(f"{option} {device}: not known; say cpu, cuda, cuda:1, ... or mps")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": torch.mps.device_count()}
    if index >= counts[kind]:
        here = f"{counts[kind]} here, counted from 0" if counts[kind] else "no GPU can be used here"
        raise SAVError(f"{option} {device}: {here}; say {option} cpu, or another one")
    return str(device)
