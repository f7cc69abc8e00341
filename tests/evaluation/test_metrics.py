import math

import numpy as np
import pytest

from sav.evaluation.metrics import confusion_matrix, dataset_metrics, instance_mean_iou
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("vehicleseg10k")
C = len(ONTOLOGY.classes)
WHEEL = ONTOLOGY.class_id("Wheel") + 1
LEFT = ONTOLOGY.class_id("Left front door") + 1
RIGHT = ONTOLOGY.class_id("Right front door") + 1


def label_map(*labels):
    return np.array([labels], dtype=np.uint8)


def test_confusion_has_truth_in_rows():
    counts = confusion_matrix(label_map(0, WHEEL, WHEEL), label_map(0, WHEEL, LEFT), C)
    assert counts.shape == (C + 1, C + 1)
    assert counts[0, 0] == 1
    assert counts[WHEEL, WHEEL] == 1
    assert counts[WHEEL, LEFT] == 1
    assert counts.sum() == 3


def test_confusion_refuses_other_shapes_and_labels():
    with pytest.raises(ValueError, match="prediction is"):
        confusion_matrix(label_map(0, 1), label_map(0), C)
    with pytest.raises(ValueError, match="prediction has labels outside"):
        confusion_matrix(label_map(0), label_map(C + 1), C)


def test_dataset_metrics_by_hand():
    truth = label_map(0, 0, WHEEL, WHEEL, WHEEL, WHEEL, LEFT, LEFT)
    prediction = label_map(0, WHEEL, WHEEL, WHEEL, WHEEL, 0, LEFT, RIGHT)
    metrics = dataset_metrics(confusion_matrix(truth, prediction, C), ONTOLOGY)
    # Wheel: 3 right of 4 true + 1 false. Left door: 1 of 2. Background: 1 of 2 true + 1 false.
    assert metrics["IoU-Wheel"] == pytest.approx(60)
    assert metrics["IoU-Left front door"] == pytest.approx(50)
    assert metrics["mIoU"] == pytest.approx(55)
    assert metrics["mAcc"] == pytest.approx((75 + 50) / 2)
    assert metrics["mIoU_bg"] == pytest.approx((60 + 50 + 100 / 3) / 3)
    assert metrics["side_confusion"] == pytest.approx(50)


def test_class_absent_from_truth_is_undefined_and_in_no_mean():
    truth = label_map(WHEEL, WHEEL, 0, 0)
    prediction = label_map(WHEEL, LEFT, LEFT, 0)
    metrics = dataset_metrics(confusion_matrix(truth, prediction, C), ONTOLOGY)
    assert math.isnan(metrics["IoU-Left front door"])
    assert metrics["mIoU"] == pytest.approx(50)
    assert math.isnan(metrics["side_confusion"])


def test_no_part_at_all_is_undefined():
    metrics = dataset_metrics(confusion_matrix(label_map(0), label_map(0), C), ONTOLOGY)
    assert math.isnan(metrics["mIoU"])
    assert metrics["mIoU_bg"] == pytest.approx(100)


def test_side_confusion_counts_only_the_mirror():
    truth = label_map(LEFT, LEFT, RIGHT, RIGHT, WHEEL)
    prediction = label_map(RIGHT, WHEEL, RIGHT, 0, LEFT)
    metrics = dataset_metrics(confusion_matrix(truth, prediction, C), ONTOLOGY)
    assert metrics["side_confusion"] == pytest.approx(25)


def test_instance_mean_differs_from_dataset_level():
    small = confusion_matrix(label_map(WHEEL, 0), label_map(0, 0), C)
    large = confusion_matrix(label_map(*[WHEEL] * 8), label_map(*[WHEEL] * 8), C)
    assert instance_mean_iou([small, large]) == pytest.approx(50)
    level = dataset_metrics(small + large, ONTOLOGY)["mIoU"]
    assert level == pytest.approx(100 * 8 / 9)


def test_instance_mean_skips_what_the_truth_does_not_show():
    hallucinated = confusion_matrix(label_map(0, WHEEL), label_map(LEFT, WHEEL), C)
    assert instance_mean_iou([hallucinated]) == pytest.approx(100)
    assert math.isnan(instance_mean_iou([]))
