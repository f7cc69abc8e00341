import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

from sav.evaluation.metrics import IGNORED, confusion_matrix, part_metrics, photo_miou
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
    metrics = part_metrics([confusion_matrix(truth, prediction, C)], ONTOLOGY)
    # Wheel: 3 right of 4 true + 1 false. Left door: 1 of 2. Background: 1 of 2 true + 1 false.
    assert metrics["IoU-Wheel"] == pytest.approx(60)
    assert metrics["IoU-Left front door"] == pytest.approx(50)
    assert metrics["mIoU"] == pytest.approx(55)
    assert metrics["mAcc"] == pytest.approx((75 + 50) / 2)
    assert metrics["mIoU_bg"] == pytest.approx((60 + 50 + 100 / 3) / 3)
    assert metrics["fwIoU"] == pytest.approx((4 * 60 + 2 * 50) / 6)
    assert metrics["side_confusion"] == pytest.approx(50)


def test_class_absent_from_truth_is_undefined_and_in_no_mean():
    truth = label_map(WHEEL, WHEEL, 0, 0)
    prediction = label_map(WHEEL, LEFT, LEFT, 0)
    metrics = part_metrics([confusion_matrix(truth, prediction, C)], ONTOLOGY)
    assert math.isnan(metrics["IoU-Left front door"])
    assert metrics["mIoU"] == pytest.approx(50)
    assert math.isnan(metrics["side_confusion"])


def test_no_part_at_all_is_undefined():
    metrics = part_metrics([confusion_matrix(label_map(0), label_map(0), C)], ONTOLOGY)
    assert math.isnan(metrics["mIoU"])
    assert math.isnan(metrics["fwIoU"])
    assert metrics["mIoU_bg"] == pytest.approx(100)


def test_side_confusion_counts_only_the_mirror():
    truth = label_map(LEFT, LEFT, RIGHT, RIGHT, WHEEL)
    prediction = label_map(RIGHT, WHEEL, RIGHT, 0, LEFT)
    metrics = part_metrics([confusion_matrix(truth, prediction, C)], ONTOLOGY)
    assert metrics["side_confusion"] == pytest.approx(25)


def test_the_papers_mean_differs_from_dataset_level():
    small = confusion_matrix(label_map(WHEEL, 0), label_map(0, 0), C)
    large = confusion_matrix(label_map(*[WHEEL] * 8), label_map(*[WHEEL] * 8), C)
    assert part_metrics([small, large], ONTOLOGY)["paper_mIoU"] == pytest.approx(50)
    level = part_metrics([small + large], ONTOLOGY)["mIoU"]
    assert level == pytest.approx(100 * 8 / 9)


def test_the_papers_mean_skips_what_the_truth_does_not_show():
    hallucinated = confusion_matrix(label_map(0, WHEEL), label_map(LEFT, WHEEL), C)
    assert part_metrics([hallucinated], ONTOLOGY)["paper_mIoU"] == pytest.approx(100)
    assert math.isnan(part_metrics([], ONTOLOGY)["paper_mIoU"])


def test_ignored_pixels_count_for_nothing():
    truth = label_map(IGNORED, IGNORED, WHEEL, 0, IGNORED)
    prediction = label_map(WHEEL, LEFT, WHEEL, 0, 0)
    counts = confusion_matrix(truth, prediction, C)
    assert counts.sum() == 2
    assert part_metrics([counts], ONTOLOGY)["mIoU_bg"] == 100
    with pytest.raises(ValueError, match="prediction has labels outside"):
        confusion_matrix(label_map(0), label_map(IGNORED), C)


def test_a_photo_is_bad_for_what_it_misses_and_for_what_it_makes_up():
    truth, prediction = label_map(WHEEL, WHEEL, 0, 0), label_map(WHEEL, 0, LEFT, 0)
    assert photo_miou(confusion_matrix(truth, prediction, C)) == pytest.approx(25)
    assert photo_miou(confusion_matrix(label_map(0), label_map(LEFT), C)) == 0
    assert math.isnan(photo_miou(confusion_matrix(label_map(0), label_map(0), C)))


def test_they_are_those_of_torchmetrics():
    rng = np.random.default_rng(0)
    shown = [0, WHEEL, LEFT, RIGHT]
    photos = []
    for height in (30, 41, 12):
        truth = rng.choice([*shown, IGNORED], (height, 50)).astype(np.uint8)
        right = rng.random(truth.shape) < 0.6
        other = rng.integers(0, C + 1, truth.shape)
        photos.append((truth, np.where(right & (truth != IGNORED), truth, other)))
    found = part_metrics([confusion_matrix(*photo, C) for photo in photos], ONTOLOGY)

    def reference(function, pairs, **options):
        sides = [torch.from_numpy(np.concatenate([p[i].ravel() for p in pairs])) for i in (1, 0)]
        options = {"num_classes": C + 1, "average": "none", "ignore_index": IGNORED, **options}
        return 100 * function(*(side.long() for side in sides), **options).double().numpy()

    iou = reference(multiclass_jaccard_index, photos)
    recall = reference(multiclass_accuracy, photos)
    assert found["IoU-Wheel"] == pytest.approx(iou[WHEEL])
    assert found["mIoU"] == pytest.approx(iou[shown[1:]].mean())
    assert found["mIoU_bg"] == pytest.approx(iou[shown].mean())
    assert found["mAcc"] == pytest.approx(recall[shown[1:]].mean())
    pixels = np.array([sum((truth == label).sum() for truth, _ in photos) for label in shown[1:]])
    assert found["fwIoU"] == pytest.approx((iou[shown[1:]] * pixels).sum() / pixels.sum())
    alone = [reference(multiclass_jaccard_index, [photo])[shown[1:]] for photo in photos]
    assert found["paper_mIoU"] == pytest.approx(np.mean(alone))
