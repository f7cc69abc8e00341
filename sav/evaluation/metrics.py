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

IGNORED = 255
"""Label of truth pixels that count for nothing: regions of a crowd without an annotated part."""


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count pixels by true and predicted label.

    Args:
        truth: (H, W) integer label map, values 0 to `num_classes`, or IGNORED.
        prediction: the same for the prediction, without IGNORED.
        num_classes: number of part classes C.

    Returns:
        (C + 1, C + 1) int64, truth in rows.

    Raises:
        ValueError: the shapes differ, or a label is out of range.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction is {prediction.shape}, the image is {truth.shape}")
    # Labels change at few pixels, so stretches of equal ones are counted, not pixels.
    truth, prediction = truth.ravel(), prediction.ravel()
    changes = truth[1:] != truth[:-1]
    changes |= prediction[1:] != prediction[:-1]
    starts = np.concatenate([np.arange(min(truth.size, 1)), np.flatnonzero(changes) + 1])
    lengths = np.diff(starts, append=truth.size)
    truth, prediction = truth[starts].astype(np.int64), prediction[starts].astype(np.int64)
    counted = truth != IGNORED
    truth, lengths = truth[counted], lengths[counted]
    size = num_classes + 1
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.size and (labels.min() < 0 or labels.max() >= size):
            raise ValueError(f"{name} has labels outside 0 to {num_classes}")
    joint = truth * size + prediction[counted]
    # Sums of floats are exact below 2 ** 53 pixels.
    counts = np.bincount(joint, weights=lengths, minlength=size * size)
    return counts.astype(np.int64).reshape(size, size)


def part_metrics(confusions: Iterable[np.ndarray], ontology: Ontology) -> dict[str, float]:
    """Metrics over all pixels of a data set.

    A class that no truth pixel of the whole set shows has no IoU and enters no mean; its false
    pixels still count against the classes they cover.

    Args:
        confusions: one (C + 1, C + 1) count matrix per photo.
        ontology: names and mirrors of the C classes.

    Returns:
        "mIoU" and "mAcc" (mean IoU and mean recall over part classes), "mIoU_bg" (background
        included), "fwIoU" (IoU of part classes, weighted by their pixels in the truth),
        "paper_mIoU" (the mean over all pairs of a photo and a part class that its truth shows,
        which the authors of SAV report as mIoU), "IoU-<class>" each, and "side_confusion": the
        share of pixels of a sided part that are predicted as its mirror.

        "paper_mIoU" weighs a class by the number of photos that show it, and a part that is
        predicted where its class is absent costs nothing but the pixels it takes from others: read
        it beside mIoU, not instead of it.
    """
    total = np.zeros((len(ontology) + 1,) * 2, dtype=np.int64)
    in_photos = [np.zeros(0)]
    for confusion in confusions:
        total += confusion
        in_photos.append(_iou_and_recall(confusion)[0][1:])
    iou, recall = _iou_and_recall(total)
    weights = total[1:].sum(axis=1)
    weighted = np.nansum(iou[1:] * weights)
    by_class = zip(ontology.class_names, iou[1:].tolist(), strict=True)
    return {
        "mIoU": _mean(iou[1:]),
        "mAcc": _mean(recall[1:]),
        "mIoU_bg": _mean(iou),
        "fwIoU": float(weighted / weights.sum()) if weights.any() else math.nan,
        "paper_mIoU": _mean(np.concatenate(in_photos)),
        **{f"IoU-{name}": value for name, value in by_class},
        "side_confusion": _side_confusion(total, ontology),
    }


def _side_confusion(confusion: np.ndarray, ontology: Ontology) -> float:
    mirrors = np.array(ontology.mirror_ids)
    (sided,) = np.nonzero(mirrors != np.arange(len(mirrors)))
    pixels = confusion[sided + 1].sum()
    swapped = confusion[sided + 1, mirrors[sided] + 1].sum()
    return float(100 * swapped / pixels) if pixels else math.nan


def mean_iou(confusion: np.ndarray) -> float:
    """Mean IoU over the part classes that the truth shows, in percent; (C + 1, C + 1) counts."""
    return _mean(_iou_and_recall(confusion)[0][1:])


def photo_miou(confusion: np.ndarray) -> float:
    """Mean IoU of one photo over the part classes that its truth or its prediction shows.

    Other than in "paper_mIoU" a class that is only predicted counts, with 0: this one finds the
    photos that are worth a look.

    Args:
        confusion: (C + 1, C + 1) counts of the photo.
    """
    in_either = confusion.sum(axis=1) + confusion.sum(axis=0) - np.diag(confusion)
    shown = in_either[1:] > 0
    return _mean(100 * np.diag(confusion)[1:][shown] / in_either[1:][shown])


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
