import copy
import pickle

import numpy as np
import pytest
import torch

from sav.d2 import BitMasks, Boxes, BoxMode, ImageList, Instances, PolygonMasks

XYXY = torch.tensor([[0.0, 0.0, 4.0, 2.0], [1.0, 1.0, 1.0, 5.0]])


def test_box_mode_converts_what_it_is_given():
    assert BoxMode.convert([1, 2, 3, 4], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS) == [1, 2, 4, 6]
    assert BoxMode.convert((1, 2, 4, 6), BoxMode.XYXY_ABS, BoxMode.XYWH_ABS) == (1, 2, 3, 4)
    array = np.array([[1.0, 2, 3, 4]])
    out = BoxMode.convert(array, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)
    assert out.tolist() == [[1, 2, 4, 6]]
    assert array.tolist() == [[1, 2, 3, 4]]
    tensor = BoxMode.convert(XYXY, BoxMode.XYXY_ABS, BoxMode.XYWH_ABS)
    assert tensor.tolist() == [[0, 0, 4, 2], [1, 1, 0, 4]]
    assert BoxMode.XYXY_ABS == 0
    assert BoxMode.XYWH_ABS == 1


def test_boxes():
    boxes = Boxes(XYXY)
    assert len(boxes) == 2
    assert boxes.area().tolist() == [8, 0]
    assert boxes.nonempty().tolist() == [True, False]
    assert boxes[0].tensor.shape == (1, 4)
    assert boxes[torch.tensor([False, True])].tensor.tolist() == [[1, 1, 1, 5]]
    assert len(Boxes.cat([boxes, boxes])) == 4
    assert len(Boxes(torch.zeros(0))) == 0
    clipped = Boxes(XYXY.clone())
    clipped.clip((1, 3))
    assert clipped.tensor.tolist() == [[0, 0, 3, 1], [1, 1, 1, 1]]
    assert boxes.tensor.tolist() == XYXY.tolist()
    assert Boxes([[1, 2, 3, 4]]).tensor.dtype == torch.float32


def test_bit_masks():
    array = np.zeros((3, 4, 6), bool)
    array[0, 1:3, 2:5] = True
    array[1, 3, 5] = True
    masks = BitMasks(array)
    assert masks.image_size == (4, 6)
    assert masks.nonempty().tolist() == [True, True, False]
    assert masks.get_bounding_boxes().tensor.tolist() == [[2, 1, 5, 3], [5, 3, 6, 4], [0, 0, 0, 0]]
    assert masks[1].tensor.shape == (1, 4, 6)
    assert len(masks[torch.tensor([0, 2])]) == 2
    assert BitMasks.cat([masks, masks[0]]).tensor.shape == (4, 4, 6)
    assert BitMasks(torch.zeros(0, 4, 6)).get_bounding_boxes().tensor.shape == (0, 4)
    with pytest.raises(AssertionError):
        BitMasks(torch.zeros(4, 6))


def test_polygon_masks():
    square, triangle = [1, 1, 4, 1, 4, 3, 1, 3], [0, 0, 2, 0, 0, 2]
    masks = PolygonMasks([[square], [triangle, square]])
    assert len(masks) == 2
    assert masks.nonempty().tolist() == [True, True]
    for item in (1, slice(1, 2), torch.tensor([False, True]), torch.tensor([1])):
        (chosen,) = masks[item]
        assert [polygon.tolist() for polygon in chosen] == [triangle, square]
    assert len(PolygonMasks.cat([masks, masks[0]])) == 3
    with pytest.raises(ValueError, match="polygon"):
        PolygonMasks([[[0, 0, 1, 1]]])


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
    instances.remove("names")
    assert set(instances.get_fields()) == {"gt_boxes", "gt_classes", "gt_masks"}


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


def test_instances_cat_move_and_pickle():
    instances = _instances()
    joined = Instances.cat([instances, instances[0]])
    assert joined.gt_classes.tolist() == [3, 5, 3]
    assert joined.names == ["a", "b", "a"]
    assert len(joined.gt_masks) == 3
    assert instances.to("cpu").gt_boxes.tensor.tolist() == XYXY.tolist()
    moved = instances.to("meta")
    for tensor in (moved.gt_boxes.tensor, moved.gt_masks.tensor, moved.gt_classes):
        assert tensor.device.type == "meta"
    assert moved.names == ["a", "b"]
    assert instances.gt_classes.device.type == "cpu"
    for again in (pickle.loads(pickle.dumps(instances)), copy.deepcopy(instances)):
        assert again.gt_classes.tolist() == [3, 5]
    assert Instances.cat([instances]) is instances
    with pytest.raises((AssertionError, ValueError)):
        Instances.cat([Instances((4, 6), a=[1]), Instances((4, 7), a=[1])])
    assert "num_instances=2" in str(instances)


def test_image_list_pads_bottom_right():
    images = ImageList.from_tensors(
        [torch.ones(3, 4, 6), torch.ones(3, 5, 2)], size_divisibility=4, pad_value=9
    )
    assert images.tensor.shape == (2, 3, 8, 8)
    assert images.image_sizes == [(4, 6), (5, 2)]
    assert len(images) == 2
    assert images[1].shape == (3, 5, 2)
    assert images.tensor[0, :, 4:].unique().tolist() == [9]
