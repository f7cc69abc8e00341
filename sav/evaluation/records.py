"""The truth of an evaluated photo, by its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from sav.errors import SAVError

_Truth = TypeVar("_Truth")


def truth_of(truths: Mapping[Any, _Truth], image_id: Any, dataset_name: str) -> _Truth:
    """What is known of a photo.

    Raises:
        SAVError: the data set has no photo with this id.
    """
    if image_id not in truths:
        raise SAVError(f"{dataset_name}: it holds no image with id {image_id}")
    return truths[image_id]
