"""How a trainer is put together, and how it goes on."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sav.d2.shared import comm
from sav.d2.shared.checkpoint import DetectionCheckpointer


class AssembledTrainer:
    """Mix-in of Detectron2's trainer: on any number of processes, GPUs or CPUs.

    Beside Detectron2's ``build_*`` methods it needs ``build_step_trainer(cfg, model, data_loader,
    optimizer)``, which returns what does one step.
    """

    def _assemble(self, cfg: Any) -> None:
        """Build everything that the config asks for."""
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        model = _for_processes(model)
        self._trainer = self.build_step_trainer(cfg, model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(
            model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the last checkpoint, or load the weights of ``MODEL.WEIGHTS``.

        Resuming restores weights, optimizer, schedule, hooks and everything else that the
        checkpointer knows, and the training data go on where they stopped.

        Args:
            resume: False always starts a new run at iteration 0.
        """
        resume = resume and self.checkpointer.has_checkpoint()
        self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume)
        if resume:
            # The checkpoint holds the iteration that was just finished.
            self.start_iter = self.iter + 1
            self.data_loader.start_at(self.start_iter)


def _for_processes(model: nn.Module) -> nn.Module:
    """Wrap a model for several processes; with one it is returned as it is.

    Buffers, such as running means, are each process's own, as in Detectron2.
    """
    if comm.get_world_size() == 1:
        return model
    on_gpu = next(model.parameters()).device.type == "cuda"
    # Recent releases of torch have a new name for the same switch.
    names = inspect.signature(DistributedDataParallel).parameters
    switch = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    devices = [comm.get_local_rank()] if on_gpu else None
    return DistributedDataParallel(model, device_ids=devices, **{switch: False})
