import copy
import pickle

import numpy as np
import pytest
import torch

from sav.d2 import BitMasks, Boxes, Instances

XYXY = torch.tensor([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 1.0, 5.0]])


def test_boxes():
    boxes = Boxes(XYXY)
    assert len(boxes) == 2
    assert boxes[0].tensor.shape == (1, 4)
    assert boxes[torch.tensor([False, True])].tensor.tolist() == [[1, 1, 1, 5]]
    assert boxes[:1].tensor.tolist() == [[0, 0, 4, 2]]
    assert boxes.to("meta").tensor.device.type == "meta"
    assert len(Boxes(torch.zeros(0))) == 0
    assert Boxes([[1, 2, 3, 4]]).tensor.dtype == torch.float32


def test_bit_masks():
    array = np.zeros((3, 4, 6), bool)
    array[0, 1:3, 2:5] = True
    masks = BitMasks(array)
    assert len(masks) == 3
    assert masks.tensor.dtype == torch.bool
    assert masks.tensor.sum(dim=(1, 2)).tolist() == [6, 0, 0]
    assert masks[0].tensor.shape == (1, 4, 6)
    assert len(masks[torch.tensor([0, 2])]) == 2
    assert len(masks[torch.tensor([False, False, False])]) == 0
    assert masks.to("meta").tensor.device.type == "meta"
    with pytest.raises(AssertionError):
        BitMasks(torch.zeros(4, 6))


def _instances():
    return Instances(
        (4, 6),
        gt_boxes=Boxes(XYXY),
        gt_classes=torch.tensor([3, 5]),
        gt_masks=BitMasks(torch.ones(2, 4, 6)),
        names=["a", "b"],
    )


def test_instances_fields_agree_in_length():
    instances = _instances()
    assert len(instances) == 2
    assert instances.image_size == (4, 6)
    assert instances.has("gt_classes")
    assert not instances.has("scores")
    with pytest.raises(AssertionError):
        instances.scores = torch.zeros(3)
    with pytest.raises(AttributeError):
        _ = instances.scores
    assert instances.get("names") == ["a", "b"]
    instances.remove("names")
    assert not instances.has("names")
    with pytest.raises(KeyError):
        instances.get("names")


def test_instances_are_indexed_by_int_slice_and_mask():
    instances = _instances()
    instances.remove("names")
    for item in (1, -1, slice(1, 2), torch.tensor([False, True]), torch.tensor([1])):
        chosen = instances[item]
        assert chosen.gt_classes.tolist() == [5], item
        assert chosen.gt_boxes.tensor.tolist() == [[1, 1, 1, 5]]
    assert len(instances[torch.tensor([False, False])]) == 0
    assert instances[0:2].gt_masks.tensor.shape == (2, 4, 6)
    with pytest.raises(IndexError):
        instances[2]
    with pytest.raises(NotImplementedError):
        iter(instances)
    with pytest.raises(NotImplementedError):
        len(Instances((1, 1)))


def test_instances_of_one_image_are_joined():
    instances = _instances()
    joined = Instances.cat([instances[1], instances[:0], instances])
    assert joined.gt_classes.tolist() == [5, 3, 5]
    assert joined.gt_boxes.tensor.tolist() == [XYXY[1].tolist(), *XYXY.tolist()]
    assert torch.equal(joined.gt_masks.tensor[1:], instances.gt_masks.tensor)
    assert joined.names == ["b", "a", "b"]
    assert joined.image_size == instances.image_size
    with pytest.raises(AssertionError):
        Instances.cat([instances, Instances((1, 1), gt_classes=instances.gt_classes)])


def test_instances_move_and_pickle():
    instances = _instances()
    assert instances.to("cpu").gt_boxes.tensor.tolist() == XYXY.tolist()
    moved = instances.to("meta")
    for tensor in (moved.gt_boxes.tensor, moved.gt_masks.tensor, moved.gt_classes):
        assert tensor.device.type == "meta"
    assert moved.names == ["a", "b"]
    assert instances.gt_classes.device.type == "cpu"
    for again in (pickle.loads(pickle.dumps(instances)), copy.deepcopy(instances)):
        assert again.gt_classes.tolist() == [3, 5]
    assert "num_instances=2" in str(instances)
