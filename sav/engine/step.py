"""One training step: mixed precision, accumulation, randomness by iteration, clear failures."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from sav.d2 import CfgNode, SimpleTrainer, comm
from sav.errors import SAVError
from sav.precision import Precision

Batch = list[dict[str, Any]]


class StepTrainer(SimpleTrainer):
    """Detectron2's inner trainer, with what SAV's config offers for a step.

    Before each step all global random states are set from the seed, the iteration and the process.
    Nothing random depends on what happened before, so a resumed run needs no random state.

    Args:
        cfg: SEED, SOLVER.AMP and SOLVER.ACCUMULATE are used.
        model: SAV, or its wrapper for several processes.
        data_loader: batches.
        optimizer: steps once an iteration.

    Raises:
        SAVError: when the batch of a process cannot be accumulated in equal parts, or
            SOLVER.AMP.PRECISION is unknown.
    """

    def __init__(
        self,
        cfg: CfgNode,
        model: nn.Module,
        data_loader: Iterable[Batch],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        super().__init__(model, data_loader, optimizer)
        self._sav = getattr(model, "module", model)
        self._seed = cfg.SEED
        self._parts = cfg.SOLVER.ACCUMULATE
        batch = cfg.SOLVER.IMS_PER_BATCH // comm.get_world_size()
        if self._parts < 1 or batch % self._parts:
            raise SAVError(
                f"SOLVER.ACCUMULATE {self._parts}: the {batch} photos of a process cannot be "
                "shared evenly by so many parts"
            )
        self._device = next(model.parameters()).device.type
        self._precision = Precision.for_training(cfg, model)
        fp16 = self._precision.dtype is torch.float16
        self._scaler = torch.amp.GradScaler(self._device, enabled=fp16)

    def run_step(self) -> None:
        """Fetch a batch, go forward and backward in parts, write the losses, step.

        Raises:
            SAVError: when a loss is not finite; it names the losses and the photos.
        """
        if not self.model.training:
            raise AssertionError("the model was left in evaluation mode")
        if self._seed >= 0:
            self._seed_step()
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        self.optimizer.zero_grad()
        losses = self._accumulate(batch)
        self._check_finite(losses, batch)
        self._write_metrics(losses, data_time)
        # Clipping happens inside the optimizer's step, and has to see the true gradients.
        self._scaler.unscale_(self.optimizer)
        self._scaler.step(self.optimizer)
        self._scaler.update()

    def _seed_step(self) -> None:
        key = [self._seed, self.iter, comm.get_rank()]
        words = np.random.SeedSequence(key).generate_state(3).tolist()
        random.seed(words[0])
        np.random.seed(words[1])
        # torch.manual_seed would format a stack trace in each step where CUDA is not in use.
        torch.default_generator.manual_seed(words[2])
        if self._device == "cuda":
            torch.cuda.manual_seed(words[2])

    def _accumulate(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Add up the gradients of the parts; returns the mean losses, on the CPU."""
        size = len(batch) // self._parts
        parts: dict[str, list[torch.Tensor]] = defaultdict(list)
        context = self._sav.context
        # No part of a step retrieves exemplars of another part.
        with nullcontext() if context is None else context.one_step():
            for begin in range(0, len(batch), size):
                # Gradients travel between the processes once a step, with its last part.
                local = self.model is not self._sav and begin + size < len(batch)
                with self.model.no_sync() if local else nullcontext():
                    losses = self._losses(self.model, batch[begin : begin + size])
                    self._scaler.scale(sum(losses.values()) / self._parts).backward()
                for name, loss in losses.items():
                    parts[name].append(loss.detach().float())
        # One transfer for all of them.
        means = torch.stack([torch.stack(values) for values in parts.values()]).mean(1).cpu()
        return dict(zip(parts, means, strict=True))

    def _losses(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        with self._precision.autocast():
            return model(batch)

    def _check_finite(self, losses: dict[str, torch.Tensor], batch: Batch) -> None:
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if not bad:
            return
        names = []
        with torch.no_grad():
            for item in batch:
                alone = self._losses(self._sav, [item])
                if not all(math.isfinite(loss) for loss in alone.values()):
                    names.append(item["file_name"])
        if len(names) in (0, len(batch)):
            where = "every photo of the step: the weights have diverged; lower SOLVER.BASE_LR"
        else:
            where = f"{', '.join(names)}: look at these photos and their annotations"
        raise SAVError(
            f"iteration {self.iter}: {', '.join(bad)} became infinite or NaN on {where}; the last "
            "checkpoint is good, go on from it with --resume"
        )

    def state_dict(self) -> dict[str, Any]:
        """Add the loss scale of fp16 to the state."""
        return {**super().state_dict(), "grad_scaler": self._scaler.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back the loss scale too."""
        super().load_state_dict(state_dict)
        self._scaler.load_state_dict(state_dict["grad_scaler"])
