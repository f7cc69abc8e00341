"""The renderer's own fine parts, and how each shipped ontology names them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from sav.errors import SAVError
from sav.ontology import Ontology, load_ontology

_SIDED = (
    "frame",
    "front_door",
    "back_door",
    "front_window",
    "back_window",
    "quarter_window",
    "head_light",
    "tail_light",
    "mirror",
    "front_wheel",
    "back_wheel",
)
_CENTRAL = (
    "front_bumper",
    "back_bumper",
    "grille",
    "hood",
    "roof",
    "windshield",
    "rear_window",
    "trunk",
    "tailgate",
    "bed_gate",
    "bed",
    "cargo_box",
    "underbody",
    "front_plate",
    "trunk_plate",
    "bumper_plate",
)

FINE_PARTS: tuple[str, ...] = (
    *(f"left_{name}" for name in _SIDED),
    *(f"right_{name}" for name in _SIDED),
    *_CENTRAL,
)
"""Names of the fine parts; the part with index ``i`` has the value ``i + 1`` in part maps."""

PART_ID: dict[str, int] = {name: index + 1 for index, name in enumerate(FINE_PARTS)}
"""Value of each fine part in part maps; 0 is background."""

NUM_PART_VALUES = len(FINE_PARTS) + 1

_MAPPING_FILE = Path(__file__).with_name("part_mappings.yaml")
_COUNTED = ("wheel", "plate")


def swap_sides() -> np.ndarray:
    """Table (NUM_PART_VALUES,) uint8 that turns each part value into that of its mirror image."""
    table = np.arange(NUM_PART_VALUES, dtype=np.uint8)
    for name in _SIDED:
        left, right = PART_ID[f"left_{name}"], PART_ID[f"right_{name}"]
        table[left], table[right] = right, left
    return table


@dataclass(frozen=True, eq=False)
class PartMapping:
    """How one ontology names the fine parts.

    Attributes:
        ontology: the vocabulary.
        class_values: (NUM_PART_VALUES,) uint8; class id + 1 of each part value, 0 where the
            vocabulary has no word for it.
        instance_keys: (NUM_PART_VALUES,) uint8; parts of one vehicle with equal keys are one
            instance (0: none). Wheels and plates are counted one by one where they have a class
            to themselves, everything else is one instance per vehicle and class.
        cover: class id + 1 of the class whose outline covers the whole vehicle, or 0.
    """

    ontology: Ontology
    class_values: np.ndarray
    instance_keys: np.ndarray
    cover: int


@cache
def load_mapping(name: str) -> PartMapping:
    """Read how an ontology names the fine parts, and check it against that ontology.

    Args:
        name: name of a shipped ontology.

    Raises:
        SAVError: there is no mapping for it, a fine part is missing or unknown, or a class is.
    """
    mappings = yaml.safe_load(_MAPPING_FILE.read_text(encoding="utf-8"))
    if name not in mappings:
        raise SAVError(
            f"{_MAPPING_FILE.name}: no mapping of the synthetic parts to ontology '{name}'; "
            f"choose one of {', '.join(mappings)}"
        )
    entry = mappings[name]
    parts = entry["parts"]
    if odd := set(parts) ^ set(FINE_PARTS):
        raise SAVError(
            f"{_MAPPING_FILE.name}: {name}: {', '.join(sorted(odd))}: not the synthetic parts; "
            "list every fine part once, with null where the ontology has no class"
        )
    ontology = load_ontology(name)
    classes = np.zeros(NUM_PART_VALUES, np.uint8)
    keys = np.zeros(NUM_PART_VALUES, np.uint8)
    # A plate that a vocabulary sees as part of the bumper is no instance of its own.
    merged = {label for part, label in parts.items() if not part.endswith(_COUNTED)}
    for part, label in parts.items():
        if label is None:
            continue
        value = ontology.class_id(label) + 1
        classes[PART_ID[part]] = value
        keys[PART_ID[part]] = value if label in merged else NUM_PART_VALUES + PART_ID[part]
    cover = entry["cover"]
    return PartMapping(ontology, classes, keys, ontology.class_id(cover) + 1 if cover else 0)
