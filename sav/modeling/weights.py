"""Model weights as safetensors, loaded strictly."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sav.errors import SAVError
from sav.files import atomic_path
from sav.modeling.keys import check_keys
from sav.modeling.meta_arch import SAV

# Weights of single classes, and their dimension of classes. Those of parts that another vocabulary
# knows too carry over to it, as does everything else.
_BY_CLASS = {"graph.free": 0}
_BY_CLASS_WITHOUT_GRAPH = {"layout.describe.weight": 1, "dense.describe.weight": 1}
_DIALECTS = "graph.dialects"
_CONTEXT = "second_look."


def save_weights(model: SAV, path: Path, *, half: bool = False) -> None:
    """Write a model's weights and vocabulary, atomically; in half precision if so wished."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    if half:
        state = {n: v.half() if v.is_floating_point() else v for n, v in state.items()}
    nodes = json.dumps([part.node for part in model.ontology.classes])
    # safetensors' own save_file makes files that only their owner can read.
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(state, metadata={"nodes": nodes, "format": "pt"}))


def load_weights(model: SAV, path: Path, *, adapt: bool = False) -> None:
    """Load weights strictly: every key must fit.

    Args:
        model: changed in place.
        path: a ``.safetensors`` file of ours, or a training checkpoint ``.pth``.
        adapt: take weights of another vocabulary too, or of a model without context, as the start
            of a training: what it does not know stays as it is, everything else must fit.

    Raises:
        SAVError: no such file, not a weights file, or the first keys that do not fit.
    """
    if not path.is_file():
        raise SAVError(f"{path}: no such weights file; check MODEL.WEIGHTS")
    try:
        state, nodes = _read(path)
    except (SafetensorError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        raise SAVError(f"{path}: not a weights file of SAV ({error})") from error
    own_nodes = [part.node for part in model.ontology.classes]
    if adapt and nodes not in (None, own_nodes):
        state = _adapt(model, state, nodes, path)
    if adapt and not any(name.startswith(_CONTEXT) for name in state):
        state |= {n: v for n, v in model.state_dict().items() if n.startswith(_CONTEXT)}
    check_keys(model.state_dict(), state, str(path), "this config")
    model.load_state_dict(state, strict=True)
    logging.getLogger(__name__).info("Weights loaded from %s", path)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], list[str] | None]:
    if path.suffix != ".safetensors":
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint["model"], None
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return state, json.loads((file.metadata() or {}).get("nodes", "null"))


def _adapt(
    model: SAV, state: dict[str, torch.Tensor], nodes: list[str], path: Path
) -> dict[str, torch.Tensor]:
    own = model.state_dict()
    adapted = {name: value for name, value in state.items() if name != _DIALECTS}
    if _DIALECTS in own:
        adapted[_DIALECTS] = own[_DIALECTS]
    shared = [part for part in model.ontology.classes if part.node in nodes]
    here = torch.tensor([part.id for part in shared], dtype=torch.int64)
    there = torch.tensor([nodes.index(part.node) for part in shared], dtype=torch.int64)
    by_class = _BY_CLASS if model.graph.enabled else _BY_CLASS | _BY_CLASS_WITHOUT_GRAPH
    for name, dim in by_class.items():
        known = state[name].index_select(dim, there).to(own[name])
        adapted[name] = own[name].index_copy(dim, here.to(known.device), known)
    logging.getLogger(__name__).info(
        "%s has another vocabulary: %d of %d classes are known to it, the others start afresh",
        path,
        len(shared),
        len(model.ontology),
    )
    return adapted
