"""``sav bench views``: one graph of parts from photos of two vocabularies, answered in all of them.

Rendered vehicles have the truth in every view. One half of the training photos is annotated in one
vocabulary and the other half in another one, whose doors have windows. A model that takes classes
for unions of parts is compared with one that joins classes by the names of their parts.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from sav.bench.rendered import render
from sav.bench.runs import (
    add_config_argument,
    add_seeds_argument,
    count,
    data_set_options,
    seed_options,
    shared_options,
    train_all,
)
from sav.bench.tables import compare, figures, markdown, publish, spread
from sav.evaluation.results import Results
from sav.files import write_atomic
from sav.formats.coco import read_coco
from sav.ontology import Union, View, load_ontology, load_views

GRAPH = "vehicle"
TRAINED = ("vehicleseg10k", "dsmlr")
REFERENCE = "by name"
UNIONS = "unions"
_SEEDS = {"train": 21, "test": 23}
_FEW = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that are this experiment's own."""
    add_config_argument(parser, default="configs/synthetic/SAV-Tiny.yaml")
    add_seeds_argument(parser)
    sizes = "photos to render: to train on in each vocabulary, and to test on"
    defaults = {"default": [1000, 200], "type": count, "metavar": "N", "help": sizes}
    parser.add_argument("--sizes", nargs=2, **defaults)
    parser.set_defaults(iterations=1500)


def run(args: argparse.Namespace) -> None:
    """Render, train both models once a seed, and test them in every view."""
    data = _Data(args.output / "data", *args.sizes)
    shared = shared_options(args)
    views = load_views(load_ontology(GRAPH))
    rows = {UNIONS: data.options(views, ""), REFERENCE: data.options(views, "_by_name")}
    jobs = {
        (row, name): [*shared, *options, *seed]
        for name, seed in seed_options(args.seeds).items()
        for row, options in rows.items()
    }
    trained = train_all(args.config_file, args.output, jobs, parallel=args.parallel)
    blocks, raw = [], {}
    for view in views:
        found = {row: _in_view(runs, view.name) for row, runs in trained.items()}
        raw[view.name] = {
            row: {run: figures({view.name: results}) for run, results in runs.items()}
            for row, runs in found.items()
        }
        kind = "trained" if view.name in TRAINED else "never trained"
        table = compare("classes are", raw[view.name], REFERENCE)
        blocks.append(f"Answers in {view.name} ({kind}):\n\n{table}\n\n{_by_class(view, found)}")
    publish(args.output, "\n\n".join(blocks), raw)


def _in_view(runs: dict[str, Results], name: str) -> dict[str, dict]:
    """Of each run, the results of the test set in a view, whatever it is called there."""
    sets = (f"{name}_test", f"{name}_by_name_test")
    return {run: next(r[s] for s in sets if s in r) for run, r in runs.items()}


def _by_class(view: View, found: dict[str, dict[str, dict]]) -> str:
    lines = [
        [name]
        + [
            spread(run[task].get(f"{metric}-{name}") for run in runs.values())
            for task, metric in (("parts", "IoU"), ("segm", "AP"))
            for runs in found.values()
        ]
        for name in view.vocabulary.class_names
    ]
    return markdown(["class", *(f"{m}, {row}" for m in ("IoU", "AP") for row in found)], lines)


@dataclass
class _Data:
    """Rendered photos with the truth in every view.

    Attributes:
        root: folder.
        train: photos to train on, in each vocabulary.
        test: photos to test on, the same in every view.
    """

    root: Path
    train: int
    test: int

    def options(self, views: tuple[View, ...], suffix: str) -> list[str]:
        """Config options of a training.

        Args:
            views: to test in; some of them are trained.
            suffix: of the trained vocabularies' names: "" for their unions, otherwise each of their
                classes is the one part that bears its name.
        """
        sets, files = {}, []
        for number, view in enumerate(views):
            ends = suffix if view.name in TRAINED else ""
            for split in ("train", "test") if view.name in TRAINED else ("test",):
                seed = _SEEDS[split] + (10 * number if split == "train" else 0)
                file = self._rendered(view.name, split, seed)
                if ends:
                    file = _renamed(file, view.name + ends)
                sets[f"{view.name}{ends}_{split}"] = file
            if ends:
                files.append(str(_write_by_name(view, self.root, view.name + ends)))
        trained = tuple(name for name in sets if name.endswith("_train"))
        tested = tuple(name for name in sets if name.endswith("_test"))
        return [
            *("MODEL.SAV.ONTOLOGY", GRAPH, "MODEL.SAV.VIEWS", str(tuple(files))),
            *data_set_options(sets),
            *("DATASETS.TRAIN", str(trained), "DATASETS.TEST", str(tested)),
        ]

    def _rendered(self, vocabulary: str, split: str, seed: int) -> Path:
        """The annotation file of rendered photos, made unless it is there."""
        folder = self.root / f"{vocabulary}_{split}"
        splits = {split: getattr(self, split)}
        coco = render(folder, splits, seed=seed, ontology=vocabulary)
        return (coco / f"instances_{split}.json").resolve()


def _renamed(file: Path, vocabulary: str) -> Path:
    """A copy of an annotation file that names another vocabulary with the same classes."""
    contents = read_coco(file)
    contents["info"] = {**contents["info"], "ontology": vocabulary}
    copy = file.with_stem(f"{file.stem}_by_name")
    write_atomic(copy, json.dumps(contents))
    return copy


def _write_by_name(view: View, root: Path, name: str) -> Path:
    """A vocabulary whose classes are single parts, those that bear their names."""
    sides = {part.name: part.side for part in view.graph.classes}
    classes = []
    for part, union in zip(view.vocabulary.classes, view.unions, strict=True):
        entry = {"id": part.id, "name": part.name, "description": part.description}
        entry |= {"color": list(part.color), "position": list(part.position)}
        entry |= {"side": part.side, "max_instances": part.max_instances}
        entry |= {"mirror": part.mirror} if part.mirror else {}
        entry |= {"each": list(union.parts)} if union.each else {"parts": [_bearer(union, sides)]}
        classes.append(entry)
    path = root / f"{name}.yaml"
    contents = {"name": name, "view_of": view.graph.name, "classes": classes}
    write_atomic(path, yaml.safe_dump(contents, sort_keys=False))
    return path.resolve()


def _bearer(union: Union, sides: dict[str, str]) -> str:
    """The part of a class that bears its name."""
    central = [part for part in union.parts if sides[part] == "none"]
    # What is left of the vehicle bears no part's name: one that others hardly have.
    return union.parts[0] if len(union.parts) < _FEW else central[-1]
