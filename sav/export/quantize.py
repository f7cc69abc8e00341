"""The image encoder of an exported model in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from tqdm import tqdm

from sav.data.crops import to_tensor
from sav.data.letterbox import Letterbox
from sav.errors import SAVError
from sav.export.exporter import SCOPES
from sav.files import atomic_path
from sav.formats.images import read_rgb
from sav.modeling.preprocess import Preprocessor
from sav.synthetic import render_scene

RENDERED = 64
"""Photos that are rendered where none are given."""

_KINDS = ("Conv", "Clip", "Relu", "Add")


def calibration_photos(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """Photos (H, W, 3) uint8 that show what the encoder will see; rendered where there are none."""
    if files:
        yield from map(read_rgb, tqdm(files, desc="calibrate", disable=None))
        return
    rng = np.random.default_rng(0)
    for _ in tqdm(range(RENDERED), desc="calibrate", disable=None):
        yield render_scene(rng).image


def quantize_encoder(path: Path, photos: Iterator[np.ndarray], preprocess: Preprocessor) -> None:
    """Make the encoder's body, a convolutional network, compute in 8 bits, in place.

    Weights have 7 bits: on processors without VNNI sums of two products of 8 bits would overflow.

    Args:
        path: of the encoder and decoder.
        photos: to calibrate by: they give the range of each map.
        preprocess: the model's.

    Raises:
        SAVError: there is no such convolution in the file.
    """
    nodes = _body_nodes(path)
    if not nodes:
        raise SAVError(f"{path}: no convolution of an image encoder; export without --int8")
    with atomic_path(path) as temporary:
        quantize_static(
            path,
            temporary,
            _Canvases(photos, preprocess),
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def _body_nodes(path: Path) -> list[str]:
    """Convolutions, and what lies between them: maps that are turned back to floats cost time."""
    nodes = onnx.load(path, load_external_data=False).graph.node
    return [node.name for node in nodes if node.op_type in _KINDS and _in_body(node)]


def _in_body(node: onnx.NodeProto) -> bool:
    scopes = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "")
    return "model.encoder.body" in scopes


class _Canvases(CalibrationDataReader):
    """Photos as the graph takes them."""

    def __init__(self, photos: Iterator[np.ndarray], preprocess: Preprocessor) -> None:
        self._photos, self._preprocess = photos, preprocess
        self._letterbox = Letterbox(preprocess.size)

    def get_next(self) -> dict[str, np.ndarray] | None:
        photo = next(self._photos, None)
        if photo is None:
            return None
        with torch.no_grad():
            small = self._letterbox.get_transform(photo).apply_image(photo)
            return {"canvas": self._preprocess([to_tensor(small)]).numpy()}
