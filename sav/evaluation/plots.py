"""Pictures of an evaluation: the confusion matrix, and curves over the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sav.drawing.parts import CONFIDENT
from sav.evaluation.calibration import BINS, STEPS, curves, reliability
from sav.evaluation.matching import Matches

_DPI = 100


def confusion_picture(confusion: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Draw where the pixels of each label go.

    Args:
        confusion: (C + 1, C + 1) counts, truth in rows, background first.
        class_names: C names.

    Returns:
        a PNG. Rows are in percent of their pixels; labels without any in truth and prediction are
        left out.
    """
    shown = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1))
    names = np.array(["background", *class_names])[shown]
    counts = confusion[np.ix_(shown, shown)]
    pixels = counts.sum(axis=1, keepdims=True)
    share = np.divide(100 * counts, pixels, out=np.full(counts.shape, np.nan), where=pixels > 0)
    side = 2.5 + 0.38 * len(shown)
    figure = Figure((side, side), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(share >= 0.5):
        color = "white" if share[row, column] > 60 else "black"
        text = f"{share[row, column]:.0f}"
        axes.text(column, row, text, color=color, ha="center", va="center", fontsize=8)
    ticks = np.arange(len(shown))
    axes.set_xticks(ticks, names, rotation=90)
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="truth", title="Pixels, % of each row")
    return _png(figure)


def curves_picture(photos: Sequence[Matches]) -> bytes:
    """Draw precision, recall and F1 over the threshold, and precision by score.

    Returns:
        a PNG.
    """
    figure = Figure((10, 4), dpi=_DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_curves(left, photos)
    _draw_reliability(right, photos)
    return _png(figure)


def _draw_curves(axes: Axes, photos: Sequence[Matches]) -> None:
    found = curves(photos)
    rows = (("precision", found.precision), ("recall", found.recall), ("F1", found.f1))
    for name, values in rows:
        axes.plot(STEPS, 100 * values, label=name)
    axes.axvline(CONFIDENT, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="threshold", ylabel="%", xlim=(0, 1), ylim=(0, 101))
    axes.set_title("Parts whose score is at least a threshold")
    axes.legend()


def _draw_reliability(axes: Axes, photos: Sequence[Matches]) -> None:
    count, _, precision = reliability(photos)
    middles = (np.arange(BINS) + 0.5) / BINS
    axes.bar(middles, 100 * np.nan_to_num(precision), 0.9 / BINS, color="tab:blue")
    for middle, number in zip(middles, count, strict=True):
        axes.text(middle, 1, str(number), ha="center", fontsize=7, color="black")
    axes.plot([0, 1], [0, 100], color="black", linewidth=0.8, linestyle=":", zorder=3)
    axes.set(xlabel="score", ylabel="% right", xlim=(0, 1), ylim=(0, 101))
    axes.set_title("Calibration, with the number of parts")


def _png(figure: Figure) -> bytes:
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
