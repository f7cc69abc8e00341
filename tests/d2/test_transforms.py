import numpy as np
import pycocotools.mask as mask_util
import pytest

from sav.d2 import BoxMode, detection_utils
from sav.d2 import transforms as T


def picture(height=8, width=12):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_flip_moves_everything_together():
    image = picture()
    labels = np.arange(96, dtype=np.uint8).reshape(8, 12)
    inputs = T.AugInput(image, boxes=np.array([[1.0, 2, 4, 6]]), sem_seg=labels)
    applied = T.AugmentationList([T.RandomFlip(prob=1.0)])(inputs)
    assert (inputs.image == image[:, ::-1]).all()
    assert (inputs.sem_seg == labels[:, ::-1]).all()
    assert inputs.boxes.tolist() == [[8, 2, 11, 6]]
    assert applied.apply_coords(np.array([[1.0, 2.0]])).tolist() == [[11, 2]]
    assert (applied.inverse().apply_image(inputs.image) == image).all()


def test_flip_probability_and_direction():
    inputs = T.AugInput(picture())
    T.RandomFlip(prob=0.0)(inputs)
    assert (inputs.image == picture()).all()
    T.RandomFlip(prob=1.0, horizontal=False, vertical=True)(inputs)
    assert (inputs.image == picture()[::-1]).all()
    with pytest.raises(ValueError, match=r"(?i)flip"):
        T.RandomFlip(horizontal=True, vertical=True)


def test_resize_shortest_edge_keeps_the_aspect():
    inputs = T.AugInput(picture(), boxes=np.array([[0.0, 0, 12, 8]]))
    T.ResizeShortestEdge([16, 16], 100)(inputs)
    assert inputs.image.shape == (16, 24, 3)
    assert inputs.boxes.tolist() == [[0, 0, 24, 16]]
    inputs = T.AugInput(picture())
    T.ResizeShortestEdge([16], 18, sample_style="choice")(inputs)
    assert inputs.image.shape == (12, 18, 3)
    assert T.ResizeShortestEdge.get_output_shape(8, 12, 16, 18) == (12, 18)


def test_resize_of_labels_does_not_mix_them():
    labels = np.zeros((8, 12), np.uint8)
    labels[2:5, 3:9] = 7
    resize = T.ResizeTransform(8, 12, 20, 31)
    assert set(np.unique(resize.apply_segmentation(labels))) == {0, 7}
    ramp = np.tile(np.arange(12, dtype=np.float32), (8, 1))
    halved = T.ResizeTransform(8, 12, 4, 6).apply_image(ramp)
    assert halved.dtype == np.float32
    assert halved.tolist() == [[0.5, 2.5, 4.5, 6.5, 8.5, 10.5]] * 4
    assert resize.apply_image(labels[..., None]).shape == (20, 31, 1)
    assert resize.apply_image(labels).shape == (20, 31)
    assert resize.inverse().apply_image(resize.apply_image(picture())).shape == (8, 12, 3)


def test_large_scale_jitter():
    np.random.seed(0)
    augmentation = T.AugmentationList([T.ResizeScale(0.5, 2.0, 20, 20), T.FixedSizeCrop((20, 20))])
    for _ in range(5):
        inputs = T.AugInput(picture(), sem_seg=np.zeros((8, 12), np.uint8))
        augmentation(inputs)
        assert inputs.image.shape == (20, 20, 3)
        assert inputs.sem_seg.shape == (20, 20)
    # Half the target: a third of the canvas below the image is padding.
    inputs = T.AugInput(picture(), sem_seg=np.zeros((8, 12), np.uint8))
    T.AugmentationList([T.ResizeScale(0.5, 0.5, 24, 24), T.FixedSizeCrop((24, 24))])(inputs)
    assert (inputs.image[8:] == 128).all()
    assert (inputs.sem_seg[8:] == 255).all()


def test_random_numbers_are_drawn_alike():
    """One seed gives the sizes and places that it gives in Detectron2."""
    np.random.seed(3)
    image, found = picture(40, 60), []
    for augmentation in (
        T.ResizeShortestEdge((20, 60), 70),
        T.ResizeShortestEdge((20, 30, 40), sample_style="choice"),
        T.RandomFlip(),
        T.ResizeScale(0.3, 2.0, 40, 44),
        T.FixedSizeCrop((20, 30)),
    ):
        inputs = T.AugInput(image)
        transform = augmentation(inputs)
        moved = transform.apply_coords(np.array([[10.0, 20.0]]))[0]
        found.append((*inputs.image.shape[:2], *moved.round(3).tolist()))
    assert found == [
        (44, 66, 11.0, 22.0),
        (30, 45, 7.5, 15.0),
        (40, 60, 10.0, 20.0),
        (15, 22, 3.667, 7.5),
        (20, 30, -7.0, 9.0),
    ]


def test_own_augmentations_ask_by_name():
    class CropToBox(T.Augmentation):
        def get_transform(self, image, boxes):
            x0, y0, x1, y1 = boxes[0].astype(int)
            return T.CropTransform(x0, y0, x1 - x0, y1 - y0)

    inputs = T.AugInput(picture(), boxes=np.array([[1.0, 2, 4, 6]]))
    transform = CropToBox()(inputs)
    assert inputs.image.shape == (4, 3, 3)
    assert isinstance(transform, T.Transform)


def test_annotations_follow_the_image():
    mask = np.zeros((8, 12), np.uint8)
    mask[1:3, 1:5] = 1
    polygon = [[1.0, 1, 5, 1, 5, 3, 1, 3]]
    flip = T.TransformList([T.HFlipTransform(12)])
    for segmentation in (polygon, mask_util.encode(np.asfortranarray(mask))):
        annotation = {
            "bbox": [1, 1, 4, 2],
            "bbox_mode": BoxMode.XYWH_ABS,
            "category_id": 0,
            "segmentation": segmentation,
        }
        moved = detection_utils.transform_instance_annotations(annotation, flip, (8, 12))
        assert list(moved["bbox"]) == [7, 1, 11, 3]
        assert moved["bbox_mode"] == BoxMode.XYXY_ABS
        instances = detection_utils.annotations_to_instances([moved], (8, 12), "bitmask")
        assert (instances.gt_masks.tensor[0].numpy() == mask[:, ::-1].astype(bool)).all()


def test_boxes_end_at_the_border():
    annotation = {"bbox": [-2, 1, 20, 30], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 0}
    transforms = [T.HFlipTransform(12), T.ResizeTransform(8, 12, 16, 24)]
    moved = detection_utils.transform_instance_annotations(annotation, transforms, (16, 24))
    assert list(moved["bbox"]) == [0, 2, 24, 16]
    assert "segmentation" not in moved
    instances = detection_utils.annotations_to_instances([moved], (16, 24))
    assert not instances.has("gt_masks")
