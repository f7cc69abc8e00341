"""timm networks as feature extractors, and what timm knows of the whole networks."""

from __future__ import annotations

from typing import Any

import timm
import torch
from timm.models import group_parameters
from torch import nn

from sav.errors import SAVError


def build_body(name: str, options: dict[str, Any], *, pretrained: bool) -> nn.Module:
    """Build a timm network that returns its feature maps.

    Args:
        name: timm model name.
        options: further arguments of ``timm.create_model``, such as widths.
        pretrained: whether timm downloads weights.

    Raises:
        SAVError: timm knows no such network, option or weights, or cannot download them.
    """
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True, **options)
    except (RuntimeError, TypeError, OSError) as error:
        raise SAVError(f"MODEL.TIMM: timm cannot build '{name}': {error}") from error


def build_whole(name: str, options: dict[str, Any]) -> nn.Module:
    """The network with its head, on the meta device: shapes and names, no memory."""
    options = {key: value for key, value in options.items() if key != "out_indices"}
    with torch.device("meta"):
        return timm.create_model(name, **options)


def original_names(body: nn.Module, whole: nn.Module) -> dict[str, str]:
    """The names that the body's parameters and buffers have in the whole network.

    As a feature extractor timm flattens a network: stages.0 is called stages_0.

    Returns:
        Name in the whole network by name in the body.
    """
    originals = {name.replace(".", "_"): name for name in whole.state_dict()}
    names = body.state_dict().keys()
    return {n: originals[n.removeprefix("model.").replace(".", "_")] for n in names}


def layer_groups(whole: nn.Module, *, coarse: bool, key: str) -> dict[str, int]:
    """The grouping, timm's own, of a network's parameters into layers, or into stages.

    Args:
        whole: the network, see :func:`build_whole`.
        coarse: whether a group is a stage.
        key: of the config that asks, for the error.

    Returns:
        Group by the parameter's name in the whole network: 0 is the stem, the last one the
        classifier.

    Raises:
        SAVError: timm does not say which layers the network has.
    """
    if not hasattr(whole, "group_matcher"):
        name = whole.default_cfg["architecture"]
        raise SAVError(f"{key}: timm does not group the layers of {name}")
    return group_parameters(whole, whole.group_matcher(coarse=coarse), reverse=True)


def freeze_stages(body: nn.Module, whole: nn.Module, stages: int) -> None:
    """Freeze the first stages of a body; the stem is the first, as in Detectron2.

    Raises:
        SAVError: the body has fewer stages, or timm does not say which it has.
    """
    key = "MODEL.TIMM.FREEZE_AT"
    groups = layer_groups(whole, coarse=True, key=key)
    names = original_names(body, whole)
    stage_of = {p: groups[names[name]] for name, p in body.named_parameters()}
    count = max(stage_of.values()) + 1
    if not 0 <= stages <= count:
        raise SAVError(f"{key}: {stages} is not one of 0 to {count}, the stages of the network")
    for parameter, stage in stage_of.items():
        parameter.requires_grad_(stage >= stages)
