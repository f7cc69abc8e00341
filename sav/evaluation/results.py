"""results.json and the table that people read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from sav.drawing.parts import CONFIDENT
from sav.files import write_atomic

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""{data set: {task: {metric: percent, or a count}}}"""

_TASKS = ("bbox", "segm", "boundary", "parts", "vehicles", "empty", "calibration")
SUMMARY = {
    "mIoU": ("parts", "mIoU"),
    "mAcc": ("parts", "mAcc"),
    "mIoU with bg": ("parts", "mIoU_bg"),
    "weighted IoU": ("parts", "fwIoU"),
    "paper's mIoU": ("parts", "paper_mIoU"),
    "mask AP": ("segm", "AP"),
    "mask AP50": ("segm", "AP50"),
    "APs": ("segm", "APs"),
    "box AP": ("bbox", "AP"),
    "boundary AP": ("boundary", "AP"),
    "boundary IoU": ("boundary", "IoU"),
    "side confusion": ("parts", "side_confusion"),
    "vehicle F1": ("vehicles", "F1"),
    "vehicle PQ": ("vehicles", "PQ"),
    "parts in empty photos": ("empty", "parts"),
    "ECE": ("calibration", "ECE"),
    f"precision@{CONFIDENT}": ("calibration", f"precision@{CONFIDENT}"),
    f"recall@{CONFIDENT}": ("calibration", f"recall@{CONFIDENT}"),
}
OF_CLASS = {"IoU": ("parts", "IoU-"), "mask AP": ("segm", "AP-"), "box AP": ("bbox", "AP-")}


def write_results(path: Path, results: Results) -> None:
    """Write the results of a run as strict JSON, all at once or not at all.

    Tasks come in the order bbox, segm, boundary, parts, vehicles, empty, calibration; metrics
    keep their evaluator's order. A metric that is not defined (NaN: its class never occurs in the
    truth) becomes null.

    Raises:
        SAVError: the file cannot be written.
    """
    plain = {
        dataset: {
            task: {
                name: round(float(value), 4) if math.isfinite(value) else None
                for name, value in tasks[task].items()
            }
            for task in sorted(tasks, key=_TASKS.index)
        }
        for dataset, tasks in results.items()
    }
    write_atomic(path, json.dumps(plain, indent=2, allow_nan=False) + "\n")


def format_results_table(results: Results, class_names: Mapping[str, Sequence[str]]) -> str:
    """Format results for a terminal; NaN is a dash.

    Args:
        results: {data set: {task: {metric: percent}}}.
        class_names: of each data set, in the order of the columns.

    Returns:
        The main figures, one column per data set, then one table of classes per data set.
    """
    summary = [
        [title, *(_get(tasks, *metric) for tasks in results.values())]
        for title, metric in SUMMARY.items()
    ]
    tables = [(["", *results], summary)]
    for dataset, tasks in results.items():
        rows = [
            [name, *(_get(tasks, task, start + name) for task, start in OF_CLASS.values())]
            for name in class_names[dataset]
        ]
        tables.append(([dataset, *OF_CLASS], rows))
    return "\n\n".join(
        tabulate(rows, titles, tablefmt="simple", floatfmt=".1f", missingval="-")
        for titles, rows in tables
    )


def _get(tasks: Mapping[str, Mapping[str, float]], task: str, metric: str) -> float | None:
    value = tasks.get(task, {}).get(metric, math.nan)
    return value if math.isfinite(value) else None
