"""Rendered and converted data sets for experiments."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import load_ontology
from sav.synthetic import BODY_TYPES, generate_dataset


def render(
    folder: Path,
    splits: Mapping[str, int],
    *,
    seed: int,
    ontology: str = "vehicleseg10k",
    bodies: Sequence[str] = BODY_TYPES,
) -> Path:
    """Render and convert a data set, unless it is there.

    Args:
        folder: of the data set.
        splits: photos of each split.
        seed: of the data set.
        ontology: the vocabulary of the annotations.
        bodies: types of vehicles that occur.

    Returns:
        the folder of its annotation files, instances_<split>.json.
    """
    generate_dataset(folder, splits=splits, seed=seed, ontology=ontology, bodies=bodies)
    source = VehicleSegSource(folder, load_ontology(ontology))
    with redirect_stdout(sys.stderr):
        convert_vehicleseg10k(source, folder / "coco", splits=list(splits))
    return folder / "coco"
