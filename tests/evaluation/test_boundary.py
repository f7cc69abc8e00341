import math

import cv2
import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster

from sav.evaluation.boundary import Border
from sav.evaluation.instance_metrics import count_instances, instance_metrics
from sav.evaluation.photo import Truth
from sav.formats.crops import decode_crop
from sav.formats.masks import encode_mask

from .photos import NAMES, both_sides, coco_evaluation, detections, random_photo

SIDE = 100


def instance(box, category=1, **more):
    mask = np.zeros((SIDE, SIDE), bool)
    left, top, right, bottom = box
    mask[top:bottom, left:right] = True
    xywh = [left, top, right - left, bottom - top]
    common = {"category_id": category, "segmentation": encode_mask(mask), "bbox": xywh}
    return {**common, "iscrowd": 0, **more}


def measure(truth, found):
    record = {"height": SIDE, "width": SIDE, "annotations": truth}
    counts = count_instances(Truth.of(record), detections(found), len(NAMES))
    return instance_metrics([counts], NAMES)["boundary"]


WHEEL = (20, 20, 60, 60)


def test_the_same_masks_have_the_same_borders():
    truth = [instance(WHEEL), instance((5, 70, 95, 95), category=2)]
    found = [{**a, "score": 0.9} for a in truth]
    assert measure(truth, found) == {"AP": pytest.approx(100), "IoU": pytest.approx(100)}


def test_a_border_beside_the_right_one_counts_less_than_the_mask():
    """Half of a border of three pixels lies beside it; of the mask it is a fifth."""
    shifted = instance((22, 22, 62, 62), score=0.9)
    metrics = measure([instance(WHEEL)], [shifted])
    mask = 38 * 38 / (2 * 40 * 40 - 38 * 38)
    assert mask > 0.8
    assert 10 < metrics["IoU"] < 40
    assert metrics["AP"] < 10


@pytest.mark.parametrize("width", [1, 3, 8])
def test_a_border_is_the_mask_without_what_is_inside(width):
    """Of masks with holes, with bays, in several pieces, at the edges, and of any size."""
    rng = np.random.default_rng(width)
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inner_pixels = 0
    for _ in range(60):
        mask = np.zeros(rng.integers(1, 90, 2), np.uint8)
        for value in (1, 1, 1, 0, 0):
            top, left = rng.integers(0, mask.shape)
            height, width_ = rng.integers(1, 60, 2)
            mask[top : top + height, left : left + width_] = value
        if not mask.any():
            continue
        padded = cv2.copyMakeBorder(mask, *4 * [width], cv2.BORDER_CONSTANT)
        inner = cv2.erode(padded, square)[width:-width, width:-width]
        inner_pixels += inner.sum()
        crop = decode_crop(encode_mask(mask))
        border = Border.of(crop, width)
        assert np.array_equal(border.pixels[:-1, :-1], (mask > inner)[crop.window()])
        assert border.area == border.pixels.sum() == (mask > inner).sum()
    assert inner_pixels


def test_only_parts_of_the_class_that_are_shown_count():
    truth = [instance(WHEEL), instance((70, 70, 90, 90))]
    found = [
        instance(WHEEL, score=0.9),
        instance((70, 70, 90, 90), score=0.1),
        instance((70, 70, 90, 90), category=2, score=0.9),
    ]
    assert measure(truth, found)["IoU"] == pytest.approx(50)


def test_nothing_found_is_nothing_and_nothing_annotated_is_undefined():
    assert measure([instance(WHEEL)], []) == {"AP": 0, "IoU": 0}
    metrics = measure([], [])
    assert math.isnan(metrics["AP"])
    assert math.isnan(metrics["IoU"])


def test_boundary_ap_is_that_of_the_reference():
    rng = np.random.default_rng(3)
    photos = [random_photo(rng, number) for number in range(1, 60)]
    counts = [count_instances(*sides, len(NAMES)) for sides in both_sides(photos)]
    done = coco_evaluation(photos, "boundary", COCOeval_faster, COCO, print_function=str)
    assert done.stats[0] > 0.01
    found = instance_metrics(counts, NAMES)["boundary"]["AP"]
    assert found == pytest.approx(100 * done.stats[0], abs=1e-6)


def test_a_crowd_has_no_border_and_excuses_what_lies_in_it():
    truth = [instance(WHEEL), instance((0, 61, 100, 100), iscrowd=1)]
    found = [instance(WHEEL, score=0.5), instance((10, 70, 30, 90), score=0.9)]
    assert measure(truth, found) == {"AP": pytest.approx(100), "IoU": 100}
