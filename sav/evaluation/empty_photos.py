"""The evaluator of photos without a vehicle: what is seen where nothing is."""

from __future__ import annotations

from collections import ChainMap
from typing import Any

from sav.d2 import comm
from sav.drawing.parts import CONFIDENT, keep_confident
from sav.evaluation.evaluator import Photo, PhotoEvaluator


class EmptyPhotosEvaluator(PhotoEvaluator):
    """Counts the parts that are shown, with a score of at least CONFIDENT, in such photos."""

    def reset(self) -> None:
        """Forget all images."""
        self._parts: dict[Any, int] = {}

    def add(self, photo: Photo) -> None:
        """Count the parts of a photo."""
        if not photo.record["annotations"]:
            self._parts[photo.image_id] = len(keep_confident(photo.instances, CONFIDENT))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Add up the counts of all processes.

        Returns:
            {"empty": "photos" without annotations, of these the "photos_with_parts", and their
            "parts"}. Empty where there are no such photos, and on every process but the first.
        """
        counts = [*ChainMap(*comm.gather(self._parts)).values()]
        if not comm.is_main_process() or not counts:
            return {}
        found = sum(count > 0 for count in counts)
        return {"empty": {"photos": len(counts), "photos_with_parts": found, "parts": sum(counts)}}
