"""``sav bench peers``: SAV beside other models, for equal core-seconds of training."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from sav.bench.folds import fold_options
from sav.bench.peers import PEERS
from sav.bench.peers.clock import Costs, seconds_a_photo, seconds_a_step
from sav.bench.runs import (
    Jobs,
    add_config_argument,
    add_seeds_argument,
    count,
    load_trained,
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import Figures, differences, figures, markdown, publish, runs_note, spread
from sav.bench.train import ExperimentTrainer
from sav.config import load_config
from sav.errors import SAVError
from sav.evaluation.results import Results
from sav.gallery.files import load_gallery
from sav.run_folder import GALLERY_FOLDER

REFERENCE = "sav"
COLUMNS = {"mIoU": ("parts", "mIoU"), "mask AP": ("segm", "AP"), "box AP": ("bbox", "AP")}
COSTS_FILE = "costs.json"
_STEP, _PHOTO = "seconds a step", "seconds a photo"
_RATES = (0.5, 1.0, 2.0)  # of the config's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser)
    every = f"some of {', '.join(PEERS)}; default: all"
    parser.add_argument("--peers", nargs="+", metavar="NAME", help=every)
    rates = "learning rates, of which the best on a fold counts; half, once and twice the config's"
    parser.add_argument("--rates", nargs="+", type=float, metavar="R", help=rates)
    seconds = "core-seconds of each training, which set its iterations; default: equal iterations"
    parser.add_argument("--seconds", type=count, metavar="N", help=seconds)
    repeats = parser.add_mutually_exclusive_group()
    add_seeds_argument(repeats)
    folds = "instead of seeds: cut all photos into N folds, train on the others, test on each"
    repeats.add_argument("--folds", type=count, metavar="N", help=folds)


def run(args: argparse.Namespace) -> None:
    """Train SAV and each peer at each rate, and compare the best of each fold."""
    plan = Plan.of(args)
    trained = train_all(args.config_file, args.output, plan.jobs, parallel=args.parallel)
    rows = {row: plan.best(runs) for row, runs in trained.items()}
    photos = {row: plan.seconds_a_photo(row, best) for row, best in rows.items()}
    raw = {
        row: {
            "iterations": plan.iterations[row],
            _STEP: plan.seconds[row],
            _PHOTO: photos[row],
            "best": {repeat: name for repeat, (name, _) in best.items()},
            "runs": {name: figures(r, columns=COLUMNS) for name, r in trained[row].items()},
        }
        for row, best in rows.items()
    }
    publish(args.output, _table(plan, rows, photos), raw)


Best = Mapping[str, tuple[str, Figures]]
"""By fold or seed: the name of the run with the best rate, and its figures."""


@dataclass
class Plan:
    """What is to be trained.

    Attributes:
        jobs: a run for each row, repeat and rate.
        repeats: names of the folds or seeds.
        rates: learning rates.
        seconds: of a training step, by row.
        iterations: by row.
        costs: what was measured.
        output: folder of the experiment.
    """

    jobs: Jobs
    repeats: tuple[str, ...]
    rates: tuple[float, ...]
    seconds: dict[str, float]
    iterations: dict[str, int]
    costs: Costs
    output: Path

    @classmethod
    def of(cls, args: argparse.Namespace) -> Plan:
        """As the command line says, after a few steps of each model to know what they cost.

        Raises:
            SAVError: an unknown peer, a rate twice, or both iterations and seconds.
        """
        rows = _rows(args)
        shared = shared_options(args)
        cfg = load_config(args.config_file, shared)
        rates = tuple(args.rates or (factor * cfg.SOLVER.BASE_LR for factor in _RATES))
        if args.folds:
            repeats = fold_options(cfg, args.folds, args.output / "folds")
        else:
            repeats = seed_options(args.seeds)
        costs = Costs(args.output / COSTS_FILE)
        seconds = {}
        first = next(iter(repeats.values()))
        for row, options in tqdm(rows.items(), desc="seconds a step", disable=None):
            words = [*shared, *options, *first, "OUTPUT_DIR", str(args.output)]
            one = load_config(args.config_file, words, experiment=True)
            seconds[row] = costs.get(
                _STEP, row, lambda one=one: seconds_a_step(one, ExperimentTrainer)
            )
        equal = cfg.SOLVER.MAX_ITER
        iterations = {
            row: max(1, round(args.seconds / step)) if args.seconds else equal
            for row, step in seconds.items()
        }
        jobs = {
            (row, _run_name(repeat, rate)): [
                *(*shared, *rows[row], *options),
                *("SOLVER.BASE_LR", str(rate), "SOLVER.MAX_ITER", str(iterations[row])),
            ]
            for repeat, options in repeats.items()
            for row in rows
            for rate in rates
        }
        return cls(jobs, tuple(repeats), rates, seconds, iterations, costs, args.output)

    def best(self, runs: Mapping[str, Results]) -> Best:
        """The best run of each repeat, by mIoU."""
        found = {}
        for repeat in self.repeats:
            names = [_run_name(repeat, rate) for rate in self.rates]
            rated = [(name, figures(runs[name], columns=COLUMNS)) for name in names]
            found[repeat] = max(rated, key=lambda pair: _or_least(pair[1]["mIoU"]))
        return found

    def seconds_a_photo(self, row: str, best: Best) -> float:
        """At inference, by the first of the best runs; SAV with its gallery."""

        def measure() -> float:
            run = self.output / row / best[self.repeats[0]][0]
            cfg, model = load_trained(run, [], ExperimentTrainer)
            if model.context is not None:
                model.context.gallery = load_gallery(run / GALLERY_FOLDER)
            return seconds_a_photo(cfg, model)

        return self.costs.get(_PHOTO, row, measure)

    def rates_of(self, best: Best) -> str:
        """The rates of the best runs."""
        names = [name for name, _ in best.values()]
        chosen = [r for r in self.rates if any(name.endswith(_run_name("", r)) for name in names)]
        return ", ".join(f"{rate:g}" for rate in chosen)


def _rows(args: argparse.Namespace) -> dict[str, list[str]]:
    """The config options of each row."""
    if args.seconds and args.iterations:
        raise SAVError("--seconds and --iterations: give one of them")
    if args.rates and len({*map(str, args.rates)}) < len(args.rates):
        raise SAVError("--rates: one of them is there twice")
    names = dict.fromkeys(args.peers or PEERS)
    for name in names:
        if name not in PEERS:
            raise SAVError(f"peer '{name}': not known; choose some of {', '.join(PEERS)}")
    return {REFERENCE: [], **{name: ["EXPERIMENT.PEER", name] for name in names}}


def _run_name(repeat: str, rate: float) -> str:
    return f"{repeat}_lr{rate:g}"


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


def _table(plan: Plan, rows: Mapping[str, Best], photos: Mapping[str, float]) -> str:
    found = {row: {name: f for name, (_, f) in best.items()} for row, best in rows.items()}
    lines = []
    for row, runs in found.items():
        own = [str(plan.iterations[row]), f"{plan.seconds[row]:.2f}", plan.rates_of(rows[row])]
        own += [spread(run[column] for run in runs.values()) for column in COLUMNS]
        own.append(f"{1000 * photos[row]:.0f}")
        other = row != REFERENCE
        lines.append([row, *own, *(differences(runs, found[REFERENCE], COLUMNS) if other else ())])
    headers = ["model", "iterations", "s a step", "best rates", *COLUMNS, "ms a photo"]
    table = markdown([*headers, *(f"Δ {column}" for column in COLUMNS)], lines)
    note = (
        f"{runs_note(len(plan.repeats))} Of each the best rate by mIoU of "
        f"{', '.join(f'{rate:g}' for rate in plan.rates)}. Seconds are core-seconds on a CPU, "
        f"wall time on a GPU. Δ: difference to '{REFERENCE}' of the same run."
    )
    return f"{table}\n\n{note}"
