"""Evaluators that look at one photo after the other, and share what is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sav.d2 import DatasetEvaluator, DatasetEvaluators, Instances
from sav.errors import SAVError
from sav.evaluation.photo import Detections, Truth


@dataclass(frozen=True)
class Photo:
    """A photo that is evaluated; each form of what it shows is made once, when it is asked for.

    Attributes:
        record: that of the data set; the model's inputs carry no annotations.
        output: the model's, with "instances" and "part_map".
    """

    record: dict[str, Any]
    output: dict[str, Any]

    @property
    def image_id(self) -> Any:
        """That of the record."""
        return self.record["image_id"]

    @cached_property
    def truth(self) -> Truth:
        """The annotated instances."""
        return Truth.of(self.record)

    @cached_property
    def instances(self) -> Instances:
        """Those found, on the CPU."""
        return self.output["instances"].to("cpu")

    @cached_property
    def found(self) -> Detections:
        """The same, to be compared."""
        return Detections.of(self.instances)

    @cached_property
    def part_map(self) -> np.ndarray:
        """(H, W) integers, class id + 1, 0 for the background."""
        return self.output["part_map"].cpu().numpy()


class PhotoEvaluator(DatasetEvaluator):
    """Evaluates a data set photo by photo.

    Args:
        dataset_name: a registered part data set.
        records: those of the data set.
    """

    def __init__(self, dataset_name: str, records: Sequence[dict[str, Any]]) -> None:
        self._name = dataset_name
        self._records = {record["image_id"]: record for record in records}
        self.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Add the photos of a batch.

        Args:
            inputs: the model's inputs, of which only "image_id" is read.
            outputs: the model's.

        Raises:
            SAVError: an image is not in the data set.
        """
        for photo in _photos(self._name, self._records, inputs, outputs):
            self.add(photo)

    def add(self, photo: Photo) -> None:
        """Take what a photo adds to the metrics."""
        raise NotImplementedError


class PhotoEvaluators(DatasetEvaluators):
    """Several evaluators of one data set, which are given the same photos.

    So annotations are checked and masks encoded once, not by each of them.

    Args:
        evaluators: at least one.
        dataset_name: a registered part data set.
        records: those of the data set.
    """

    def __init__(
        self,
        evaluators: Sequence[PhotoEvaluator],
        dataset_name: str,
        records: Sequence[dict[str, Any]],
    ) -> None:
        super().__init__(evaluators)
        self._name = dataset_name
        self._records = {record["image_id"]: record for record in records}

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Hand each photo of a batch to all, see :meth:`PhotoEvaluator.process`."""
        for photo in _photos(self._name, self._records, inputs, outputs):
            for evaluator in self._evaluators:
                evaluator.add(photo)


def _photos(
    dataset_name: str,
    records: Mapping[Any, dict[str, Any]],
    inputs: Sequence[dict[str, Any]],
    outputs: Sequence[dict[str, Any]],
) -> Iterator[Photo]:
    for given, output in zip(inputs, outputs, strict=True):
        image_id = given["image_id"]
        if image_id not in records:
            raise SAVError(f"{dataset_name}: it holds no image with id {image_id}")
        yield Photo(records[image_id], output)
