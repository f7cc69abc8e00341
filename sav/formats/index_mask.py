"""Index masks (pixel = class id + 1, 0 = background) -> part instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from sav.errors import SAVError
from sav.formats.images import open_image
from sav.formats.records import PartInstance
from sav.formats.vehicles import vehicle_map
from sav.ontology import Ontology


def read_index_mask(path: Path, size: tuple[int, int], num_classes: int) -> np.ndarray:
    """Read an index mask and check that it has this size (height, width).

    Returns:
        (H, W) uint8.

    Raises:
        SAVError: it is broken, has another size, is no single-channel image or holds a value that
            is no class; the message leaves out its path.
    """
    with open_image(path) as image:
        # Palette images give their indices; colours are for the eye only.
        labels = np.asarray(image)
    if labels.ndim != 2:
        raise SAVError("the mask has several channels; an index mask has one")
    if labels.shape != size:
        (height, width), (rows, columns) = size, labels.shape
        raise SAVError(f"the mask is {columns}x{rows}, but the image is {width}x{height}")
    if labels.max() > num_classes:
        raise SAVError(f"the mask holds {labels.max()}, but the classes end at {num_classes}")
    return labels.astype(np.uint8)


def instances_of(
    labels: np.ndarray,
    ontology: Ontology,
    foreground: str,
    min_pixels: int,
    notes: Counter[str],
) -> Iterator[PartInstance]:
    """Part an index mask into instances.

    Touching labelled pixels are taken for one vehicle. A body (see ``Ontology.body_ids``) is one
    instance a vehicle, since windows and doors may cut what is left of it in pieces. Of the other
    classes, each connected component is an instance where the ontology allows several, and all
    pixels of the class are one where it does not. Components touch across corners too.

    Args:
        labels: (H, W) uint8, class id + 1, 0 background.
        ontology: the classes.
        foreground: "whole" makes a body all pixels of its vehicle.
        min_pixels: smaller components are dropped and counted.
        notes: receives that count.
    """
    vehicles = vehicle_map(labels > 0)
    for part in ontology.classes:
        mask = labels == part.id + 1
        if not mask.any():
            continue
        if part.id in ontology.body_ids:
            full = labels > 0 if foreground == "whole" else mask
            pieces = [full & (vehicles == i) for i in np.unique(vehicles[mask])]
        elif part.max_instances > 1:
            number, components = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            pieces = [components == i for i in range(1, number)]
        else:
            pieces = [mask]
        for piece in pieces:
            if np.count_nonzero(piece) < min_pixels:
                notes[f"components under {min_pixels} pixels dropped"] += 1
                continue
            yield PartInstance(part.id, piece, int(np.bincount(vehicles[piece]).argmax()))
