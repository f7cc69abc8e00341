import json
import math

import numpy as np
import pytest
from pycocotools import mask as mask_util

from sav.evaluation.boundary import boundary_metrics

SIDE = 100
NAMES = ["wheel", "door"]


def code(left, top, right, bottom):
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[top:bottom, left:right] = 1
    rle = mask_util.encode(mask)
    return {"size": [SIDE, SIDE], "counts": rle["counts"].decode()}


def instance(box, category=1, **more):
    segmentation = code(*box)
    area = (box[2] - box[0]) * (box[3] - box[1])
    xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    common = {"image_id": 1, "category_id": category, "segmentation": segmentation, "bbox": xywh}
    return {**common, "area": area, "iscrowd": 0, **more}


@pytest.fixture
def measure(tmp_path):
    def metrics(truth, found):
        annotations = tmp_path / "truth.json"
        detections = tmp_path / "found.json"
        truth = [{**a, "id": number} for number, a in enumerate(truth, 1)]
        images = [{"id": 1, "height": SIDE, "width": SIDE, "file_name": "a.jpg"}]
        categories = [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)]
        content = {"images": images, "annotations": truth, "categories": categories}
        annotations.write_text(json.dumps(content))
        if found is not None:
            detections.write_text(json.dumps(found))
        return boundary_metrics(annotations, detections)

    return metrics


WHEEL = (20, 20, 60, 60)


def test_the_same_masks_have_the_same_borders(measure):
    truth = [instance(WHEEL), instance((5, 70, 95, 95), category=2)]
    found = [{**a, "score": 0.9} for a in truth]
    assert measure(truth, found) == {"AP": pytest.approx(100), "IoU": pytest.approx(100)}


def test_a_border_beside_the_right_one_counts_less_than_the_mask(measure):
    """Half of a border of three pixels lies beside it; of the mask it is a fifth."""
    shifted = instance((22, 22, 62, 62), score=0.9)
    metrics = measure([instance(WHEEL)], [shifted])
    mask = 38 * 38 / (2 * 40 * 40 - 38 * 38)
    assert mask > 0.8
    assert 10 < metrics["IoU"] < 40
    assert metrics["AP"] < 10


def test_only_parts_of_the_class_that_are_shown_count(measure):
    truth = [instance(WHEEL), instance((70, 70, 90, 90))]
    found = [
        instance(WHEEL, score=0.9),
        instance((70, 70, 90, 90), score=0.1),
        instance((70, 70, 90, 90), category=2, score=0.9),
    ]
    assert measure(truth, found)["IoU"] == pytest.approx(50)


def test_nothing_found_is_nothing_and_nothing_annotated_is_undefined(measure):
    assert measure([instance(WHEEL)], None) == {"AP": 0, "IoU": 0}
    metrics = measure([], [])
    assert math.isnan(metrics["AP"])
    assert math.isnan(metrics["IoU"])
