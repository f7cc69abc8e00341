"""Part metrics from confusion matrices: pure functions of numpy arrays.

A label map holds class id + 1 per pixel, 0 for background, so that background never shares an
index with a part class. Confusion matrices have the truth in rows and the prediction in columns.
All metrics are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from sav.ontology import Ontology

NOT_DEFINED = math.nan
"""Value of a metric whose denominator is zero, such as the IoU of a class that no truth shows."""


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels by true and predicted label.

    Args:
        truth: (H, W) integer label map, values 0 to `num_classes`.
        prediction: the same for the prediction.
        num_classes: number of part classes C.

    Returns:
        (C + 1, C + 1) int64, truth in rows.

    Raises:
        ValueError: the shapes differ, or a label is out of range.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction is {prediction.shape}, the image is {truth.shape}")
    size = num_classes + 1
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.size and (labels.min() < 0 or labels.max() >= size):
            raise ValueError(f"{name} has labels outside 0 to {num_classes}")
    joint = truth.astype(np.int64).ravel() * size + prediction.astype(np.int64).ravel()
    return np.bincount(joint, minlength=size * size).reshape(size, size)


def dataset_metrics(confusion: np.ndarray, ontology: Ontology) -> dict[str, float]:
    """Metrics over all pixels of a data set.

    A class that no truth pixel of the whole set shows has no IoU (NaN) and enters no mean; its
    false pixels still count against the classes they cover.

    Args:
        confusion: (C + 1, C + 1) counts over the data set.
        ontology: names and mirrors of the C classes.

    Returns:
        "mIoU" and "mAcc" (mean IoU and mean recall over part classes), "mIoU_bg" (background
        included), "IoU-<class>" each, and "side_confusion": the share of pixels of a sided part
        that are predicted as its mirror.
    """
    correct = np.diag(confusion).astype(np.float64)
    in_truth = confusion.sum(axis=1)
    in_either = in_truth + confusion.sum(axis=0) - correct
    shown = in_truth > 0
    iou = np.full(len(correct), NOT_DEFINED)
    iou[shown] = 100 * correct[shown] / in_either[shown]
    recall = np.full(len(correct), NOT_DEFINED)
    recall[shown] = 100 * correct[shown] / in_truth[shown]
    metrics = {
        "mIoU": _mean(iou[1:]),
        "mAcc": _mean(recall[1:]),
        "mIoU_bg": _mean(iou),
    }
    for name, value in zip(ontology.class_names, iou[1:], strict=True):
        metrics[f"IoU-{name}"] = float(value)
    metrics["side_confusion"] = _side_confusion(confusion, ontology)
    return metrics


def instance_mean_iou(confusions: Iterable[np.ndarray]) -> float:
    """Mean IoU over all pairs of an image and a part class that its truth shows.

    This is what the authors of SAV report as mIoU. It weighs a class by the number of images that
    show it, and a part that is predicted where its class is absent costs nothing but the pixels it
    takes from others: read it beside the data-set level mIoU, not instead of it.

    Args:
        confusions: one (C + 1, C + 1) count matrix per image.
    """
    values: list[np.ndarray] = []
    for confusion in confusions:
        correct = np.diag(confusion)[1:]
        in_truth = confusion.sum(axis=1)[1:]
        in_either = in_truth + confusion.sum(axis=0)[1:] - correct
        shown = in_truth > 0
        values.append(100 * correct[shown] / in_either[shown])
    return _mean(np.concatenate(values)) if values else NOT_DEFINED


def _side_confusion(confusion: np.ndarray, ontology: Ontology) -> float:
    swapped = sided = 0
    for part, mirror in enumerate(ontology.mirror_ids):
        if mirror != part:
            sided += int(confusion[part + 1].sum())
            swapped += int(confusion[part + 1, mirror + 1])
    return 100 * swapped / sided if sided else NOT_DEFINED


def _mean(values: np.ndarray) -> float:
    """Mean of the defined values, NaN when there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else NOT_DEFINED
