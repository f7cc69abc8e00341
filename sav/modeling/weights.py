"""Model weights as safetensors, loaded strictly."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from sav.errors import SAVError
from sav.files import atomic_path
from sav.modeling.meta_arch import SAV

# What a class list is baked into. Everything else carries over to another vocabulary.
_VOCABULARY_BOUND = ("graph.free", "layout.", "dense.")


def save_weights(model: SAV, path: Path) -> None:
    """Write a model's weights and vocabulary, atomically."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    classes = json.dumps(model.ontology.class_names)
    # safetensors' own save_file makes files that only their owner can read.
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(state, metadata={"classes": classes, "format": "pt"}))


def load_weights(model: SAV, path: Path, *, adapt: bool = False) -> None:
    """Load weights strictly: every key must fit.

    Args:
        model: changed in place.
        path: a ``.safetensors`` file of ours, or a training checkpoint ``.pth``.
        adapt: take weights of another vocabulary too, as the start of a training: what depends on
            the class list stays as it is, everything else must fit.

    Raises:
        SAVError: no such file, not a weights file, or the first keys that do not fit.
    """
    if not path.is_file():
        raise SAVError(f"{path}: no such weights file; check MODEL.WEIGHTS")
    try:
        state, classes = _read(path)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise SAVError(f"{path}: not a weights file of SAV ({error})") from error
    if adapt and classes not in (None, model.ontology.class_names):
        state = _adapt(model, state, path)
    _check_keys(model, state, path)
    model.load_state_dict(state, strict=True)
    logging.getLogger(__name__).info("Weights loaded from %s", path)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], list[str] | None]:
    if path.suffix != ".safetensors":
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint["model"], None
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return state, json.loads((file.metadata() or {}).get("classes", "null"))


def _adapt(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    own = model.state_dict()
    bound = [name for name in own if name.startswith(_VOCABULARY_BOUND)]
    logging.getLogger(__name__).info(
        "%s has another vocabulary: %s start afresh", path, ", ".join(bound)
    )
    kept = {k: v for k, v in state.items() if not k.startswith(_VOCABULARY_BOUND)}
    return kept | {name: own[name] for name in bound}


def _check_keys(model: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    own = model.state_dict()
    wrong = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape": [n for n in own if n in state and own[n].shape != state[n].shape],
    }
    for what, names in wrong.items():
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
            raise SAVError(f"{path}: weights {what} for this config: {shown}")
