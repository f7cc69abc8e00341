"""Tables of mean and standard deviation over runs, and the raw figures beside them."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from sav.evaluation.results import Results
from sav.files import write_atomic
from sav.run_folder import RESULTS_FILE

COLUMNS = {
    "mIoU": ("parts", "mIoU"),
    "mask AP": ("segm", "AP"),
    "AP50": ("segm", "AP50"),
    "side confusion": ("parts", "side_confusion"),
}
COMPARED = ("mIoU", "mask AP")

Figures = dict[str, float | None]
"""By column, in percent; None where a metric is not defined."""

Rows = Mapping[str, Mapping[str, Figures]]
"""By row and run."""


def figures(
    results: Results,
    data_set: str | None = None,
    columns: Mapping[str, tuple[str, str]] = COLUMNS,
) -> Figures:
    """The columns of one data set's results; None takes the first data set."""
    tasks = results[data_set or next(iter(results))]
    return {title: tasks[task].get(metric) for title, (task, metric) in columns.items()}


def all_figures(trained: Mapping[str, Mapping[str, Results]]) -> Rows:
    """The columns of what :func:`~sav.bench.runs.train_all` returns."""
    return {
        row: {run: figures(results) for run, results in runs.items()}
        for row, runs in trained.items()
    }


def compare(title: str, rows: Rows, reference: str) -> str:
    """A Markdown table of all rows, with their differences to one of them.

    Args:
        title: what the rows are.
        rows: all of the same runs.
        reference: the row that the others are compared with, run by run.

    Returns:
        the table and a line that says how to read it.
    """
    lines = []
    for name, runs in rows.items():
        line = [name, *(spread(run[column] for run in runs.values()) for column in COLUMNS)]
        if name != reference:
            line += differences(runs, rows[reference], COMPARED)
        lines.append(line)
    table = markdown([title, *COLUMNS, *(f"Δ {column}" for column in COMPARED)], lines)
    note = runs_note(len(rows[reference]))
    return f"{table}\n\n{note} Δ: difference to '{reference}' of the same run."


def differences(
    runs: Mapping[str, Figures], reference: Mapping[str, Figures], columns: Collection[str]
) -> list[str]:
    """How far each column is above that of another row, run by run, as :func:`spread` says it."""
    cells = []
    for column in columns:
        pairs = ((run[column], reference[key][column]) for key, run in runs.items())
        cells.append(spread((a - b for a, b in pairs if None not in (a, b)), sign="+"))
    return cells


def runs_note(runs: int) -> str:
    """Of how many runs a table is."""
    spreads = "mean ± standard deviation over" if runs > 1 else "of"
    return f"Percent, {spreads} {runs} run{'s' if runs > 1 else ''}."


def spread(values: Iterable[float | None], sign: str = "") -> str:
    """Mean ± sample standard deviation of what is defined.

    Args:
        values: one a run.
        sign: "+" to write it before positive means, too.

    Returns:
        text: the mean alone for one value, a dash for none.
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return "-"
    mean = f"{np.mean(defined):{sign}.1f}"
    return mean if len(defined) == 1 else f"{mean} ± {np.std(defined, ddof=1):.1f}"


def markdown(headers: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; figures are text already."""
    align = ["left", *["right"] * (len(headers) - 1)]
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align)


def publish(output: Path, text: str, raw: Mapping[str, Any]) -> None:
    """Write OUTPUT/table.md and OUTPUT/results.json, and print the text."""
    write_atomic(output / "table.md", text + "\n")
    write_atomic(output / RESULTS_FILE, json.dumps(raw, indent=1) + "\n")
    sys.stdout.write(text + "\n")
