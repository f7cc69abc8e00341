"""results.json and the table that people read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

from sav.files import atomic_path

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""{data set: {task: {metric: percent}}}"""

_TASKS = ("bbox", "segm", "parts")
_DECIMALS = 4
_SUMMARY = (
    ("mIoU", "parts", "mIoU"),
    ("mAcc", "parts", "mAcc"),
    ("mIoU with bg", "parts", "mIoU_bg"),
    ("mask AP", "segm", "AP"),
    ("mask AP50", "segm", "AP50"),
    ("box AP", "bbox", "AP"),
    ("side confusion", "parts", "side_confusion"),
)


def write_results(path: str | Path, results: Results) -> None:
    """Write the results of a run as strict JSON, all at once or not at all.

    Tasks come in the order bbox, segm, parts; metrics keep their evaluator's order. A metric that
    is not defined (NaN: its class never occurs in the truth) becomes null.

    Args:
        path: the file, usually OUTPUT_DIR/results.json.
        results: what each data set's evaluators returned.
    """
    plain = {
        dataset: {
            task: {name: _to_json(value) for name, value in tasks[task].items()}
            for task in sorted(tasks, key=_task_order)
        }
        for dataset, tasks in results.items()
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(plain, indent=2, allow_nan=False) + "\n", "utf-8")


def format_results_table(results: Results, class_names: Mapping[str, Sequence[str]]) -> str:
    """Format results for a terminal.

    Args:
        results: {data set: {task: {metric: percent}}}; NaN and null print as a dash.
        class_names: of each data set, in the order of the rows.

    Returns:
        One row per data set with the main figures, then one table of classes per data set.
    """
    summary = [
        [dataset, *(_get(tasks, task, metric) for _, task, metric in _SUMMARY)]
        for dataset, tasks in results.items()
    ]
    blocks = [_table(summary, ["data set", *(title for title, _, _ in _SUMMARY)])]
    for dataset, tasks in results.items():
        rows = [
            [
                name,
                _get(tasks, "parts", f"IoU-{name}"),
                _get(tasks, "segm", f"AP-{name}"),
                _get(tasks, "bbox", f"AP-{name}"),
            ]
            for name in class_names[dataset]
        ]
        blocks.append(_table(rows, [dataset, "IoU", "mask AP", "box AP"]))
    return "\n\n".join(blocks)


def _task_order(task: str) -> tuple[int, str]:
    return (_TASKS.index(task) if task in _TASKS else len(_TASKS), task)


def _to_json(value: float) -> float | None:
    number = float(value)
    return round(number, _DECIMALS) if math.isfinite(number) else None


def _get(tasks: Mapping[str, Mapping[str, float]], task: str, metric: str) -> float | None:
    value = tasks.get(task, {}).get(metric)
    return value if value is not None and math.isfinite(value) else None


def _table(rows: list[list[object]], headers: list[str]) -> str:
    return tabulate(rows, headers, tablefmt="simple", floatfmt=".1f", missingval="-")
