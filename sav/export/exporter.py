"""A model as a folder of files for ONNX Runtime."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from onnx import StringStringEntryProto
from torch import nn

from sav import __version__
from sav.errors import SAVError
from sav.export.graphs import ContextRetrieval, EncoderDecoder
from sav.files import write_atomic
from sav.formats.images import LETTERBOX
from sav.modeling.grouping import VehicleKinds
from sav.modeling.meta_arch import SAV
from sav.modeling.views import ViewQueries
from sav.ontology import Ontology, find_view

DECODER_FILE, CONTEXT_FILE = "encoder_decoder.onnx", "context_retrieval.onnx"
ABOUT_FILE, RUNTIME_FILE = "model.json", "runtime.py"
FILES = (DECODER_FILE, CONTEXT_FILE, ABOUT_FILE, RUNTIME_FILE)
FORMAT = 2
OPSET = 18
SCOPES = "pkg.torch.onnx.name_scopes"  # where torch says which module a node is of
_RUNTIME = Path(__file__).with_name(RUNTIME_FILE)
_LOGITS = ("masks", "presence", "iou")
_MOST = 2**31 - 2**24  # bytes: what a file of protocol buffers can hold


def export_onnx(model: SAV, vocabulary: str, folder: Path) -> list[Path]:
    """Write a model for ONNX Runtime.

    Args:
        model: in evaluation mode, on the CPU, with its gallery.
        vocabulary: the view to answer in.
        folder: that exists; files in it are replaced.

    Returns:
        The files: image encoder and decoder, context retrieval where the model has a gallery, what
        the runtime must know, and the runtime.

    Raises:
        SAVError: the model does what the runtime cannot.
    """
    check_exportable(model)
    view = model.views[find_view([queries.view for queries in model.views], vocabulary)]
    (folder / CONTEXT_FILE).unlink(missing_ok=True)
    with torch.no_grad():
        files = [_export_decoder(model, folder / DECODER_FILE)]
        if retrieves(model):
            files.append(_export_context(model, folder / CONTEXT_FILE))
    write_atomic(folder / ABOUT_FILE, json.dumps(describe(model, view), indent=1) + "\n")
    write_atomic(folder / RUNTIME_FILE, _RUNTIME.read_bytes())
    return [*files, folder / ABOUT_FILE, folder / RUNTIME_FILE]


def check_exportable(model: SAV) -> None:
    """Refuse what the runtime does not do.

    Raises:
        SAVError: names it.
    """
    if model.flips.enabled:
        raise SAVError("TEST.AUG: the exported model averages no mirror images; export without")
    if model.crops.tiles:
        raise SAVError("MODEL.SAV.TEST.TILES: the exported model has no tiles; export without")
    if retrieves(model) and _bytes_of(ContextRetrieval(model)) > _MOST:
        raise SAVError(
            f"the gallery of {len(model.context.gallery)} vehicles is too large for one ONNX file "
            "of 2 GB; export with a smaller one, or with --gallery none"
        )


def retrieves(model: SAV) -> bool:
    """Whether the model has a gallery to retrieve neighbours from."""
    context = model.context
    return context is not None and min(context.neighbours, len(context.gallery)) > 0


def _bytes_of(module: nn.Module) -> int:
    return sum(x.numel() * x.element_size() for x in (*module.parameters(), *module.buffers()))


def _export_decoder(model: SAV, path: Path) -> Path:
    network, size = EncoderDecoder(model), model.preprocess.size
    maps = [f"map_{name}" for name in network.maps] if retrieves(model) else []
    network.maps = network.maps if maps else ()
    photos = {0: torch.export.Dim("photos")}
    canvas = torch.zeros(2, 3, size, size)
    names = {"input_names": ["canvas"], "output_names": [*_LOGITS, *maps]}
    _export(network, (canvas,), {"canvas": photos}, path, **names)
    return path


def _export_context(model: SAV, path: Path) -> Path:
    network, size = ContextRetrieval(model), model.preprocess.size
    masks, presence, iou, *maps = EncoderDecoder(model)(torch.zeros(2, 3, size, size))
    own = torch.ones(3, presence.shape[1], dtype=torch.bool)
    inputs = (masks, presence, iou, torch.tensor([0, 0, 1]), own, *maps)
    photos, vehicles = ({0: torch.export.Dim(name)} for name in ("photos", "vehicles"))
    shapes = (photos, photos, photos, vehicles, vehicles, (photos,) * len(maps))
    corrected = [f"context_{name}" for name in _LOGITS]
    names = [*_LOGITS, "photo", "own", *(f"map_{name}" for name in network.maps)]
    _export(network, inputs, shapes, path, input_names=names, output_names=corrected)
    return path


def _export(
    module: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    shapes: dict[str, Any] | tuple[Any, ...],
    path: Path,
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> None:
    """Trace a module and write it with all its weights in one file."""
    with _quiet():
        program = torch.export.export(module.eval(), inputs, dynamic_shapes=shapes, strict=False)
        written = torch.onnx.export(
            program,
            input_names=input_names,
            output_names=output_names,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    model = written.model_proto
    for node in model.graph.node:  # the rest is of this machine: paths and lines of source
        scopes = [entry.value for entry in node.metadata_props if entry.key == SCOPES]
        del node.metadata_props[:]
        node.metadata_props.extend(StringStringEntryProto(key=SCOPES, value=s) for s in scopes)
    write_atomic(path, model.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says to those who write exporters."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def describe(model: SAV, view: ViewQueries) -> dict[str, Any]:
    """What the runtime must know, as JSON can hold it; docs/export.md explains it."""
    preprocess, queries = model.preprocess, model.queries
    unions = [[list(u.parts), list(u.attached), u.each] for u in view.unions]
    return {
        "format": FORMAT,
        "version": __version__,
        "graphs": {
            "encoder_decoder": DECODER_FILE,
            "context_retrieval": CONTEXT_FILE if retrieves(model) else None,
        },
        "gallery_vehicles": len(model.context.gallery) if retrieves(model) else 0,
        "canvas": preprocess.size,
        "letterbox": LETTERBOX,
        "mean": preprocess.mean.flatten().tolist(),
        "std": preprocess.std.flatten().tolist(),
        "vocabulary": view.view.vocabulary.name,
        "classes": view.view.vocabulary.class_names,
        "class_kinds": _kinds(view.view.vocabulary),
        "parts": model.ontology.class_names,
        "part_kinds": _kinds(model.ontology),
        "query_parts": queries.classes.tolist(),
        "query_slots": queries.slots.tolist(),
        "unions": None if view.view.is_whole else unions,
        "narrower": view.narrower.int().tolist(),
        "score_threshold": model.reader.score_threshold,
        "calibration": list(model.reader.calibration),
        "crops": model.crops.below,
    }


def _kinds(ontology: Ontology) -> list[list[int]]:
    return [list(ids) for ids in VehicleKinds.of(ontology)]
