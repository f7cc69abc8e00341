"""``sav bench peers``: SAV beside other models, for equal core-seconds of training."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
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
    rates = (
        "learning rates, of which the best on the first fold or seed is used for all; "
        "half, once and twice the config's"
    )
    parser.add_argument("--rates", nargs="+", type=float, metavar="R", help=rates)
    seconds = "core-seconds of each training, which set its iterations; default: equal iterations"
    parser.add_argument("--seconds", type=count, metavar="N", help=seconds)
    repeats = parser.add_mutually_exclusive_group()
    add_seeds_argument(repeats)
    folds = "instead of seeds: cut all photos into N folds, train on the others, test on each"
    repeats.add_argument("--folds", type=count, metavar="N", help=folds)


def run(args: argparse.Namespace) -> None:
    """Train SAV and each peer: on the first fold at each rate, on the others at the best one."""
    plan = Plan.of(args)
    first = next(iter(plan.repeats))

    def train(jobs: Jobs) -> dict[str, Runs]:
        found = train_all(args.config_file, args.output, jobs, parallel=args.parallel)
        return {
            row: {name: figures(results, columns=COLUMNS) for name, results in runs.items()}
            for row, runs in found.items()
        }

    tried = train(plan.jobs(first, dict.fromkeys(plan.rows, plan.rates)))
    rates = {row: _best_rate(first, runs, plan.rates) for row, runs in tried.items()}
    chosen = {row: (rate,) for row, rate in rates.items()}
    trained = train(
        {job: words for r in plan.repeats for job, words in plan.jobs(r, chosen).items()}
    )
    photos = {row: plan.seconds_a_photo(row, rate) for row, rate in rates.items()}
    raw = {
        row: {
            "iterations": plan.iterations[row],
            _STEP: plan.seconds[row],
            _PHOTO: photos[row],
            "rate": rate,
            "runs": {**tried[row], **trained[row]},
        }
        for row, rate in rates.items()
    }
    publish(args.output, _table(plan, trained, rates, photos), raw)


Runs = Mapping[str, Figures]
"""Figures of a row's runs, by the run's name."""


@dataclass
class Plan:
    """What is to be trained.

    Attributes:
        rows: config options of each row.
        repeats: config options of each fold or seed.
        rates: learning rates to choose from.
        seconds: of a training step, by row.
        iterations: by row.
        costs: what was measured.
        output: folder of the experiment.
    """

    rows: dict[str, list[str]]
    repeats: dict[str, list[str]]
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
        shared = shared_options(args)
        rows = {row: [*shared, *options] for row, options in _rows(args).items()}
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
            words = [*options, *first, "OUTPUT_DIR", str(args.output)]
            one = load_config(args.config_file, words, experiment=True)
            seconds[row] = costs.get(
                _STEP, row, lambda one=one: seconds_a_step(one, ExperimentTrainer)
            )
        equal = cfg.SOLVER.MAX_ITER
        iterations = {
            row: max(1, round(args.seconds / step)) if args.seconds else equal
            for row, step in seconds.items()
        }
        return cls(rows, repeats, rates, seconds, iterations, costs, args.output)

    def jobs(self, repeat: str, rates: Mapping[str, Sequence[float]]) -> Jobs:
        """A run for each row and each of its rates, of one fold or seed."""
        return {
            (row, _run_name(repeat, rate)): [
                *(*self.rows[row], *self.repeats[repeat]),
                *("SOLVER.BASE_LR", str(rate), "SOLVER.MAX_ITER", str(self.iterations[row])),
            ]
            for row, of_row in rates.items()
            for rate in of_row
        }

    def seconds_a_photo(self, row: str, rate: float) -> float:
        """At inference, by the run of the first fold or seed; SAV with its gallery."""

        def measure() -> float:
            run = self.output / row / _run_name(next(iter(self.repeats)), rate)
            cfg, model = load_trained(run, [], ExperimentTrainer)
            if model.context is not None:
                model.context.gallery = load_gallery(run / GALLERY_FOLDER)
            return seconds_a_photo(cfg, model)

        return self.costs.get(_PHOTO, row, measure)


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


def _best_rate(repeat: str, runs: Runs, rates: Sequence[float]) -> float:
    """That of the highest mIoU."""
    return max(rates, key=lambda rate: _or_least(runs[_run_name(repeat, rate)]["mIoU"]))


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


def _table(
    plan: Plan,
    trained: Mapping[str, Runs],
    rates: Mapping[str, float],
    photos: Mapping[str, float],
) -> str:
    found = {
        row: {repeat: runs[_run_name(repeat, rates[row])] for repeat in plan.repeats}
        for row, runs in trained.items()
    }
    lines = []
    for row, runs in found.items():
        own = [str(plan.iterations[row]), f"{plan.seconds[row]:.2f}", f"{rates[row]:g}"]
        own += [spread(run[column] for run in runs.values()) for column in COLUMNS]
        own.append(f"{1000 * photos[row]:.0f}")
        other = row != REFERENCE
        lines.append([row, *own, *(differences(runs, found[REFERENCE], COLUMNS) if other else ())])
    headers = ["model", "iterations", "s a step", "rate", *COLUMNS, "ms a photo"]
    table = markdown([*headers, *(f"Δ {column}" for column in COLUMNS)], lines)
    note = (
        f"{runs_note(len(plan.repeats))} Rate: the best by mIoU on {next(iter(plan.repeats))} of "
        f"{', '.join(f'{rate:g}' for rate in plan.rates)}. Seconds are core-seconds on a CPU, "
        f"wall time on a GPU. Δ: difference to '{REFERENCE}' of the same run."
    )
    return f"{table}\n\n{note}"
