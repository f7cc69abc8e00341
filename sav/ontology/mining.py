"""Counts and sums for :mod:`sav.ontology.priors`, one vehicle after another."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sav.errors import SAVError
from sav.ontology.ontology import Ontology
from sav.ontology.priors import Priors

GRID = 64
"""Masks are compared on a grid of so many cells a side over the vehicle's box. Masks within one
cell of each other, that is about 2% of the box, nearly touch."""

_DIGITS = 12  # of sums; spreads of few pairs are then right to 6 digits


class PriorMiner:
    """Adds up vehicles, then their mirror images.

    Args:
        ontology: the vocabulary of the annotations.
    """

    def __init__(self, ontology: Ontology) -> None:
        self.ontology = ontology
        size = len(ontology)
        self.vehicles = 0
        self._seen = np.zeros(size)
        # Sums over vehicles: shown together, touching, contained; over pairs of instances: number,
        # x and y of the offset, log scale, and the squares of these three.
        self._vehicle_sums = np.zeros((3, size, size))
        self._pair_sums = np.zeros((7, size, size))

    def add(self, classes: np.ndarray, boxes: np.ndarray, masks: np.ndarray) -> None:
        """Add one vehicle.

        Args:
            classes: (M,) int class ids of its part instances.
            boxes: (M, 4) XYXY pixels, not empty.
            masks: (M, GRID, GRID) bool over the vehicle's box, see :func:`to_grid`.
        """
        kinds = np.eye(len(self.ontology))[classes]  # (M, C)
        counts = kinds.sum(0)
        others = 1.0 - np.eye(len(classes))
        # Where a and b have several instances, the best pair of them counts.
        together = (kinds.T @ others @ kinds) > 0
        touching = (kinds.T @ (others * _touching(masks)) @ kinds) > 0
        held = np.zeros_like(kinds.T)  # (C, M): share of instance j in the best box of class a
        np.maximum.at(held, classes, others * _held(boxes))
        contained = (held @ kinds) / np.maximum(counts, 1) * together
        self.vehicles += 1
        self._seen += counts > 0
        self._vehicle_sums += np.stack([together, touching, contained])

        low, high = boxes[:, :2], boxes[:, 2:]
        extent = high.max(0) - low.min(0)
        sizes = np.log((high - low) / extent).mean(1)
        values = np.column_stack([(low + high) / 2 / extent, sizes])
        steps = (values[None] - values[:, None]).transpose(2, 0, 1)  # (3, M, M), from i to j
        terms = np.concatenate([np.ones((1, *others.shape)), steps, steps**2]) * others
        self._pair_sums += kinds.T @ terms @ kinds

    def finish(self, sources: Sequence[str]) -> Priors:
        """The priors of all vehicles added.

        Args:
            sources: names of the annotation files.

        Raises:
            SAVError: no vehicle was added.
        """
        if not self.vehicles:
            raise SAVError(f"{', '.join(sources)}: no part is annotated, nothing to mine")
        m = np.array(self.ontology.mirror_ids)

        def pooled(sums: np.ndarray, turn: np.ndarray | int = 1) -> np.ndarray:
            """Half the vehicles as they are, half mirrored."""
            mirrored = turn * sums[:, m][:, :, m]
            return np.round((sums + mirrored) / 2, _DIGITS) + 0.0  # no -0.0

        together, touching, contained = pooled(self._vehicle_sums)
        turn = np.array([1, -1, 1, 1, 1, 1, 1])[:, None, None]
        pairs, *sums = pooled(self._pair_sums, turn)
        return Priors(
            ontology=self.ontology.name,
            class_names=tuple(self.ontology.class_names),
            sources=tuple(sources),
            vehicles=self.vehicles,
            seen=(self._seen + self._seen[m]) / 2,
            together=together,
            touching=touching,
            containment_sum=contained,
            pairs=pairs,
            offset_sum=np.stack(sums[:2], axis=-1),
            offset_squares=np.stack(sums[3:5], axis=-1),
            log_scale_sum=sums[2],
            log_scale_squares=sums[5],
        )


def to_grid(mask: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Which cells of a grid over a box a mask reaches; no part is too small for it.

    Args:
        mask: (H, W) bool or uint8.
        box: (4,) XYXY in whole pixels within the image, not empty.

    Returns:
        (GRID, GRID) bool.
    """
    left, top, right, bottom = box.astype(int)
    rows = np.linspace(top, bottom, GRID, endpoint=False).astype(int)
    columns = np.linspace(left, right, GRID, endpoint=False).astype(int)
    # Run-length codes unfold column by column: whole columns at once are fast.
    bands = np.maximum.reduceat(mask[:bottom, :right], columns, axis=1)
    return np.maximum.reduceat(bands, rows, axis=0).astype(bool)


def _touching(masks: np.ndarray) -> np.ndarray:
    """(M, M) bool: instance i reaches a cell of instance j or one beside it."""
    layers = masks.astype(np.uint8)
    grown = np.stack([cv2.dilate(layer, None) for layer in layers])  # by 3 x 3 cells
    flat = layers.reshape(len(masks), -1).astype(np.float32)
    return flat @ grown.reshape(len(masks), -1).T.astype(np.float32) > 0


def _held(boxes: np.ndarray) -> np.ndarray:
    """(M, M): share of box j that lies within box i."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    return shared / (boxes[:, 2:] - boxes[:, :2]).prod(1)
