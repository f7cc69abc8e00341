"""What a model costs: core-seconds a training step, and a photo."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import torch
from torch import nn

from sav.d2 import CfgNode, DatasetCatalog, EventStorage
from sav.data.mapper import PartDatasetMapper
from sav.data.registration import register_part_datasets
from sav.engine.trainer import Trainer
from sav.files import write_atomic
from sav.precision import Precision

_FIRST = 2  # are slower, and not counted
_STEPS = 10
_PHOTOS = 20


class Costs:
    """Seconds that were measured, kept in a file: the same command repeats what it has planned.

    Args:
        file: JSON of {what: {row: seconds}}; it need not be there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, dict[str, float]] = {}
        if file.is_file():
            self._known = json.loads(file.read_text("utf-8"))

    def get(self, what: str, row: str, measure: Callable[[], float]) -> float:
        """What is known, or else what ``measure`` returns."""
        rows = self._known.setdefault(what, {})
        if row not in rows:
            rows[row] = measure()
            write_atomic(self._file, json.dumps(self._known, indent=1) + "\n")
        return rows[row]


def seconds_a_step(cfg: CfgNode, trainer_type: type[Trainer]) -> float:
    """Seconds of a training step, data included.

    On a CPU these are core-seconds of this process, which other work on the machine hardly changes;
    on a GPU they are wall time.
    """
    register_part_datasets(cfg)
    trainer = trainer_type(cfg)
    seconds = []
    with EventStorage(0) as trainer.storage:
        for trainer.iter in range(_FIRST + _STEPS):
            start = _now(cfg)
            trainer.run_step()
            seconds.append(_now(cfg) - start)
    return mean(seconds[_FIRST:])


@torch.no_grad()
def seconds_a_photo(cfg: CfgNode, model: nn.Module) -> float:
    """Seconds from one photo on the canvas to its parts at the photo's size, as above.

    Args:
        cfg: the first of its DATASETS.TEST has the photos.
        model: ready to predict.
    """
    mapper = PartDatasetMapper(cfg, is_train=False)
    records = DatasetCatalog.get(cfg.DATASETS.TEST[0])[: _FIRST + _PHOTOS]
    seconds = []
    for item in [*map(mapper, records)]:
        start = _now(cfg)
        with Precision.for_test(cfg, model).autocast():
            model([item])
        seconds.append(_now(cfg) - start)
    return median(seconds[_FIRST:] or seconds)


def _now(cfg: CfgNode) -> float:
    if not cfg.MODEL.DEVICE.startswith("cuda"):
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
