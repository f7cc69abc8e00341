"""Model weights as safetensors, loaded strictly, or adapted to another vocabulary.

Modules say themselves how their weights carry over to a model of another vocabulary:

- ``class_axes``: parameters with an axis of classes, by name, and which axis it is. Rows of parts
  that both vocabularies know carry over, the others stay as they are.
- ``optional``: the whole module stays as it is where the weights lack it.

Everything else must fit by name and shape.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from sav.errors import SAVError
from sav.files import native_name, write_atomic

State = dict[str, torch.Tensor]

_LISTED = 3
_BROKEN = (EOFError, RuntimeError, LookupError, ValueError)
UNREADABLE = (SafetensorError, pickle.UnpicklingError, *_BROKEN)
"""What reading a file raises that holds no tensors, or is damaged."""
_VERSION = "3"  # raise it when parameters are renamed


def save_weights(model: nn.Module, path: Path, *, half: bool = False, trained_on: str = "") -> None:
    """Write a model's weights and vocabulary, atomically.

    Args:
        model: has an ``ontology``.
        path: of the safetensors file.
        half: in half precision.
        trained_on: whose data they are from, see :func:`training_data`.
    """
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    parts = json.dumps(model.ontology.part_names)
    metadata = {"parts": parts, "format": "pt", "version": _VERSION}
    metadata["trained_on"] = trained_on
    # safetensors' own save_file makes files that only their owner can read.
    write_atomic(path, save(state, metadata=metadata))


def load_weights(model: nn.Module, path: Path, *, adapt: bool = False) -> None:
    """Load weights strictly: every key must fit.

    Args:
        model: has an ``ontology``; changed in place.
        path: a ``.safetensors`` file of ours, or a training checkpoint ``.pth``.
        adapt: take weights of another vocabulary too, or of a model without context, as the start
            of a training.

    Raises:
        SAVError: no such file, not a weights file, of another version, or the first keys that do
            not fit.
    """
    if not path.is_file():
        raise SAVError(f"{path}: no such weights file; check MODEL.WEIGHTS")
    try:
        state, parts = _read(path)
    except UNREADABLE as error:
        raise SAVError(f"{path}: not a weights file of SAV ({error})") from error
    if adapt:
        state = _adapt(model, state, parts, path)
    reader = "this config"
    if parts is None:
        reader += " (a .pth does not tell its vocabulary; model_final.safetensors does)"
    check_keys(model.state_dict(), state, str(path), reader)
    model.load_state_dict(state, strict=True)
    data = training_data(path) or "data it does not name"
    logging.getLogger(__name__).info("Weights loaded from %s, trained on %s", path, data)


def training_data(path: Path) -> str:
    """What a weights file says about the data that it was trained on; empty if nothing."""
    with (
        suppress(OSError, *UNREADABLE),
        native_name(path) as name,
        safe_open(name, framework="pt") as file,
    ):
        return (file.metadata() or {}).get("trained_on", "")
    return ""


def _read(path: Path) -> tuple[State, list[str] | None]:
    if path.suffix != ".safetensors":
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint["model"], None
    with native_name(path) as name, safe_open(name, framework="pt") as file:
        metadata = file.metadata() or {}
        if metadata.get("version") != _VERSION:
            raise SAVError(f"{path}: weights of another version of SAV; train the model anew")
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return state, json.loads(metadata.get("parts", "null"))


def _adapt(model: nn.Module, state: State, parts: list[str] | None, path: Path) -> State:
    """Weights of another model, as far as they carry over; what is new to this one stays."""
    adapted, fresh = dict(state), model.state_dict()
    for prefix, module in model.named_children():
        start = f"{prefix}."
        if getattr(module, "optional", False) and not any(n.startswith(start) for n in state):
            adapted |= {n: v for n, v in fresh.items() if n.startswith(start)}
    names = model.ontology.part_names
    if parts in (None, names):
        return adapted
    shared = [name for name in names if name in parts]
    here = torch.tensor([names.index(name) for name in shared], dtype=torch.int64)
    there = torch.tensor([parts.index(name) for name in shared], dtype=torch.int64)
    for prefix, module in model.named_modules():
        for name, axis in getattr(module, "class_axes", {}).items():
            full_name = f"{prefix}.{name}"
            if full_name not in state:
                continue  # said when all keys are checked
            rows = state[full_name].index_select(axis, there).to(fresh[full_name])
            adapted[full_name] = fresh[full_name].index_copy(axis, here.to(rows.device), rows)
    logging.getLogger(__name__).info(
        "%s has another vocabulary: %d of %d classes are in both, the others start afresh",
        path,
        len(shared),
        len(names),
    )
    return adapted


def gallery_fingerprint(model: nn.Module) -> dict[str, Any]:
    """What the exemplars made by a model depend on: all but its context module."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not name.startswith("context."):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return {
        "ontology": model.ontology.name,
        "classes": model.ontology.class_names,
        **model.preprocess.fingerprint(),
        **(model.context.retriever.fingerprint() if model.context else {}),
        "weights": digest.hexdigest()[:16],
    }


def check_keys(
    expected: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor], file: str, reader: str
) -> None:
    """Refuse weights that do not fit key by key.

    Args:
        expected: what the model has; the tensors may be without memory (meta).
        state: what was read.
        file: where from, for the error.
        reader: what for, for the error.

    Raises:
        SAVError: names the first keys that are missing, unknown or of another shape.
    """
    wrong = {
        "missing": [name for name in expected if name not in state],
        "unknown": [name for name in state if name not in expected],
        "of another shape": [
            name for name, value in expected.items() if value.shape != state.get(name, value).shape
        ],
    }
    for what, names in wrong.items():
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            shown = ", ".join(names[:_LISTED]) + more
            raise SAVError(f"{file}: weights {what} for {reader}: {shown}")
