"""How a trainer is put together."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from sav.d2.shared import comm


class AssembledTrainer:
    """Mix-in of a trainer with ``build_*`` methods: on any number of processes, GPUs or CPUs."""

    def _assemble(self, cfg: Any, checkpointer_type: type) -> None:
        """Build everything that the config asks for."""
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        data_loader = self.build_train_loader(cfg)
        model = _for_processes(model)
        self._trainer = self.build_step_trainer(cfg, model, data_loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = checkpointer_type(model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def _start_data(self) -> None:
        """Let the data of a resumed run go on where they stopped."""
        if hasattr(self.data_loader, "start_at"):
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
