"""The page of an evaluation: its figures and its worst photos, in one file that works offline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sav.drawing.page import data_uri, jpeg_uri, render_page
from sav.drawing.parts import CONFIDENT
from sav.evaluation.matching import Matches
from sav.evaluation.plots import confusion_picture, curves_picture
from sav.evaluation.results import OF_CLASS, SUMMARY
from sav.evaluation.worst_photos import WorstPhoto
from sav.files import write_atomic

_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Report:
    """What a page shows.

    Attributes:
        title: the data set's name.
        class_names: C names.
        tasks: {task: {metric: percent or count}}, as in results.json.
        confusion: (C + 1, C + 1) counts of pixels.
        matches: of masks, of each photo.
        worst: photos to show.
    """

    title: str
    class_names: Sequence[str]
    tasks: Mapping[str, Mapping[str, float]]
    confusion: np.ndarray
    matches: Sequence[Matches]
    worst: Sequence[WorstPhoto]


def write_report(folder: Path, suffix: str, report: Report) -> None:
    """Write report.html, and confusion.png and curves.png, which are in it too.

    Args:
        folder: in which to write.
        suffix: of the names of the files, before their endings.
        report: what to write.

    Raises:
        SAVError: a file cannot be written, or a photo cannot be read.
    """
    pictures = {
        "confusion": confusion_picture(report.confusion, report.class_names),
        "curves": curves_picture(report.matches),
    }
    for name, content in pictures.items():
        write_atomic(folder / f"{name}{suffix}.png", content)
    tasks = report.tasks
    page = render_page(
        _TEMPLATE,
        title=report.title,
        photos=len(report.matches),
        threshold=CONFIDENT,
        summary={name: _figure(tasks, *metric) for name, metric in SUMMARY.items()},
        columns=list(OF_CLASS),
        classes={
            name: [_figure(tasks, task, start + name) for task, start in OF_CLASS.values()]
            for name in report.class_names
        },
        worst=[_case(photo) for photo in report.worst],
        **{name: data_uri("png", content) for name, content in pictures.items()},
    )
    write_atomic(folder / f"report{suffix}.html", page)


def _figure(tasks: Mapping[str, Mapping[str, float]], task: str, metric: str) -> str:
    value = tasks.get(task, {}).get(metric, math.nan)
    if not math.isfinite(value):
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"


def _case(photo: WorstPhoto) -> dict[str, str]:
    """What the template shows of a photo."""
    truth, found = photo.pictures()
    gap = np.full((truth.shape[0], 8, 3), 255, dtype=np.uint8)
    both = np.concatenate([truth, gap, found], axis=1)
    return {
        "name": Path(photo.record["file_name"]).name,
        "miou": f"{photo.kept.miou:.1f}",
        "picture": jpeg_uri(both),
    }
