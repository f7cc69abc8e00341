"""Depthwise convolutions on a CPU learn in float32, under autocast too."""

import copy
import pickle

import timm
import torch
from torch import nn

from sav.modeling.encoders.depthwise import speed_up_depthwise


def body():
    torch.manual_seed(0)
    return timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False)


def test_weights_names_and_results_stay():
    plain = body().eval()
    changed = copy.deepcopy(plain)
    speed_up_depthwise(changed)
    assert changed.state_dict().keys() == plain.state_dict().keys()
    photo = torch.randn(1, 3, 64, 64)
    for here, there in zip(changed(photo), plain(photo), strict=True):
        assert torch.equal(here, there)
    for again in (copy.deepcopy(changed), pickle.loads(pickle.dumps(changed))):
        for here, there in zip(again(photo), plain(photo), strict=True):
            assert torch.equal(here, there)


def test_only_depthwise_convolutions_leave_autocast_and_only_to_learn():
    layers = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3))
    speed_up_depthwise(layers)
    photo = torch.randn(1, 8, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        deep, full = layers[0](photo), layers[1](photo)
        with torch.no_grad():
            predicted = layers[0](photo)
    assert deep.dtype is torch.float32
    assert full.dtype is torch.bfloat16
    assert predicted.dtype is torch.bfloat16
    deep.sum().backward()
    assert layers[0].weight.grad.dtype is torch.float32
