"""Which images of a data set are held out for validation."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping

from sav.errors import SAVError


def choose_valid(group_of: Mapping[str, str | None], valid: int, seed: int = 0) -> set[str]:
    """Pick the validation images, of each vehicle all or none.

    The choice depends on the names, their groups and the seed alone.

    Args:
        group_of: the vehicle that each image shows together with others; None: with no other.
        valid: at least so many images.
        seed: of the shuffle that precedes the choice.

    Returns:
        the chosen names.

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
