"""Part metrics from confusion matrices: pure functions of numpy arrays.

A label map holds class id + 1 per pixel, 0 for background, so that background never shares an
index with a part class. Confusion matrices have the truth in rows and the prediction in columns.
All metrics are in percent, and NaN where they are not defined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from sav.ontology import Ontology


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

    A class that no truth pixel of the whole set shows has no IoU and enters no mean; its false
    pixels still count against the classes they cover.

    Args:
        confusion: (C + 1, C + 1) counts over the data set.
        ontology: names and mirrors of the C classes.

    Returns:
        "mIoU" and "mAcc" (mean IoU and mean recall over part classes), "mIoU_bg" (background
        included), "IoU-<class>" each, and "side_confusion": the share of pixels of a sided part
        that are predicted as its mirror.
    """
    iou, recall = _iou_and_recall(confusion)
    metrics = {"mIoU": _mean(iou[1:]), "mAcc": _mean(recall[1:]), "mIoU_bg": _mean(iou)}
    for name, value in zip(ontology.class_names, iou[1:].tolist(), strict=True):
        metrics[f"IoU-{name}"] = value
    mirrors = np.array(ontology.mirror_ids)
    (sided,) = np.nonzero(mirrors != np.arange(len(mirrors)))
    pixels = confusion[sided + 1].sum()
    swapped = confusion[sided + 1, mirrors[sided] + 1].sum()
    metrics["side_confusion"] = float(100 * swapped / pixels) if pixels else math.nan
    return metrics


def instance_mean_iou(confusions: Iterable[np.ndarray]) -> float:
    """Mean IoU over all pairs of an image and a part class that its truth shows.

    This is what the authors of SAV report as mIoU. It weighs a class by the number of images that
    show it, and a part that is predicted where its class is absent costs nothing but the pixels it
    takes from others: read it beside the data-set level mIoU, not instead of it.

    Args:
        confusions: one (C + 1, C + 1) count matrix per image.
    """
    return _mean(np.array([_iou_and_recall(confusion)[0][1:] for confusion in confusions]))


def _iou_and_recall(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both (C + 1,) float64, NaN for a class that no truth pixel shows."""
    correct = np.diag(confusion)
    in_truth = confusion.sum(axis=1)
    in_truth = np.where(in_truth > 0, in_truth, math.nan)
    in_either = in_truth + confusion.sum(axis=0) - correct
    return 100 * correct / in_either, 100 * correct / in_truth


def _mean(values: np.ndarray) -> float:
    """Mean of the defined values, NaN when there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan
