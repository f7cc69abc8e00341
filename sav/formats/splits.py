"""Photos held out for validation, of each vehicle all or none."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from sav.errors import SAVError

_Record = TypeVar("_Record")

SPLITS = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}
"""What the name of a folder or of a file says about its split."""


def split_of(words: Iterable[str]) -> str:
    """The split that the first telling word names, such as val2017; "train" where none does."""
    plain = (word.lower().rstrip("0123456789") for word in words)
    return next((SPLITS[word] for word in plain if word in SPLITS), "train")


def split_records(
    named: Iterable[tuple[str, _Record]], held_out: Collection[str]
) -> dict[str, list[_Record]]:
    """Records by split, in their order: "valid", if there is one, has those whose name is held out.

    Args:
        named: name and record.
        held_out: names, see :func:`choose_valid`.
    """
    splits: dict[str, list[_Record]] = {"train": [], **({"valid": []} if held_out else {})}
    for name, record in named:
        splits["valid" if name in held_out else "train"].append(record)
    return splits


def choose_valid(group_of: Mapping[str, str | None], valid: int, seed: int = 0) -> set[str]:
    """Pick the names of the validation images, of each vehicle all or none.

    The choice depends on the names, their groups and the seed alone.

    Args:
        group_of: the vehicle that each image shows together with others; None: with no other.
        valid: at least so many images.
        seed: of the shuffle that precedes the choice.

    Raises:
        SAVError: no image would be left for training.
    """
    images_of: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for name, group in sorted(group_of.items()):
        images_of[group is None, name if group is None else group].append(name)
    vehicles = list(images_of.values())
    random.Random(seed).shuffle(vehicles)
    chosen: set[str] = set()
    for vehicle in vehicles:
        if len(chosen) >= valid:
            return chosen
        chosen.update(vehicle)
    raise SAVError(
        f"--valid {valid}: there are {len(group_of)} images of {len(vehicles)} vehicles; "
        "leave some for training"
    )
