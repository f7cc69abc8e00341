"""Queries start from what each place of the photo says of their class."""

import pytest
import torch

from sav.modeling.graph.class_maps import ClassMaps
from sav.modeling.sam.decoder import NEVER, DecoderOutput

CLASSES = torch.tensor([0, 0, 1, 2])


@pytest.fixture
def maps():
    """Three classes, the first with two slots; nothing is classified yet."""
    module = ClassMaps(torch.eye(3), CLASSES, feature_dim=32)
    for parameter in [*module.coarse.parameters(), *module.fine.parameters()]:
        torch.nn.init.zeros_(parameter)
    return module


def decoded(batch=1):
    return DecoderOutput(
        masks=torch.zeros(batch, 4, 8, 8),
        presence=torch.zeros(batch, 4),
        iou=torch.zeros(batch, 4),
        features=torch.randn(batch, 32, 8, 8),
    )


def classify(maps, class_id, value):
    """Make the coarse classifier say a class wherever the first channel is 1."""
    with torch.no_grad():
        maps.coarse.to_weights.weight[0, class_id] = value


def half_and_half():
    """An embedding whose first channel is 1 in the left half of the photo."""
    embedding = torch.zeros(1, 256, 4, 4)
    embedding[:, 0, :, :2] = 1.0
    return embedding


def test_classifiers_that_know_nothing_change_nothing(maps):
    output = maps(decoded(), torch.randn(1, 256, 4, 4))
    assert output.masks.abs().max() < 1e-5
    assert output.presence.abs().max() < 1e-5
    assert [logits.shape for logits in output.class_logits] == [(1, 4, 4, 4), (1, 4, 8, 8)]


def test_queries_of_a_class_start_where_it_is(maps):
    classify(maps, 1, 8.0)
    output = maps(decoded(), half_and_half())
    there, elsewhere = output.masks[0, :, :, :2], output.masks[0, :, :, 6:]
    assert (there[2] > 6).all()
    assert (there[[0, 1, 3]] < -3).all()
    assert elsewhere.abs().max() < 1e-5
    assert output.presence[0, 2] > 0.5
    assert (output.presence[0, [0, 1, 3]] < -0.5).all()
    assert torch.equal(output.iou, decoded().iou)


def test_the_larger_part_of_the_photo_the_likelier_a_class_is_present(maps):
    classify(maps, 1, 8.0)
    small = half_and_half()
    small[:, :, 1:] = 0.0
    presence = [maps(decoded(), e).presence[0, 2] for e in (half_and_half(), small)]
    assert presence[0] > presence[1] + 0.3


def test_fine_maps_refine_the_enlarged_coarse_ones(maps):
    classify(maps, 1, 3.0)
    with torch.no_grad():
        maps.fine.to_weights.weight[5, 1] = -3.0  # of the fine features' sixth channel
    start = decoded()
    start.features.zero_()
    start.features[:, 5, 0, 0] = 1.0
    coarse, fine = maps(start, half_and_half()).class_logits
    assert coarse[0, 2, 0, 0] == 3.0
    assert fine[0, 2, 0, 0] == 0.0
    assert fine[0, 2, 1, 1] == 3.0


def test_classes_that_cannot_be_named_take_no_place(maps):
    named = torch.tensor([[True, False, True]])
    output = maps(decoded(), half_and_half(), named)
    assert (output.class_logits[0][:, 2] == NEVER).all()
    assert (output.masks[0, 2] < -9).all()
    assert output.presence[0, 2] < -9
    assert (output.masks[0, [0, 3]] > output.masks[0, 2] + 9).all()


@pytest.mark.parametrize("value", [-1e4, 1e4])
def test_certain_classifiers_give_finite_logits_and_gradients(maps, value):
    classify(maps, 1, value)
    output = maps(decoded(), half_and_half())
    (output.masks.sum() + output.presence.sum()).backward()
    assert output.masks.isfinite().all()
    assert output.presence.isfinite().all()
    assert all(p.grad.isfinite().all() for p in maps.parameters() if p.grad is not None)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_float32_under_autocast(maps, dtype):
    with torch.autocast("cpu", dtype):
        output = maps(decoded(), half_and_half())
    assert output.masks.dtype is torch.float32
    assert output.presence.dtype is torch.float32
    assert output.class_logits[1].dtype is torch.float32
