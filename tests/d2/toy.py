"""A model, data and trainer so small that whole runs fit in a test."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from sav.d2 import (
    META_ARCH_REGISTRY,
    DatasetCatalog,
    DatasetEvaluator,
    DefaultTrainer,
    HookBase,
    JSONWriter,
    SimpleTrainer,
    TensorboardXWriter,
    build_detection_test_loader,
    build_detection_train_loader,
    build_lr_scheduler,
    comm,
    get_cfg,
    hooks,
    inference_on_dataset,
)

RECORDS = [{"image_id": i, "width": 6, "height": 4} for i in range(10)]

DatasetCatalog.register("toy", lambda: RECORDS)


@META_ARCH_REGISTRY.register()
class ToyModel(nn.Module):
    """A line through noisy points, with a parameter that is not trained."""

    def __init__(self, cfg):
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.norm = nn.LayerNorm(1)
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)

    def forward(self, batch):
        if not self.training:
            return [{"value": self.line(torch.ones(1)).item()} for _ in batch]
        x = torch.tensor([[item["x"]] for item in batch])
        error = (self.line(x) - x * 2 + self.norm(x)).square()
        return {"loss_line": error.mean(), "loss_size": 0.01 * self.line.weight.square().sum()}


class MeanEvaluator(DatasetEvaluator):
    """Counts images and averages the values of all processes."""

    def reset(self):
        self.values = []

    def process(self, inputs, outputs):
        self.values += [(i["image_id"], o["value"]) for i, o in zip(inputs, outputs, strict=True)]

    def evaluate(self):
        gathered = [pair for part in comm.gather(self.values) for pair in part]
        if not comm.is_main_process():
            return None
        values = [value for _, value in gathered]
        return {"toy": {"images": len({i for i, _ in gathered}), "mean": float(np.mean(values))}}


class CountingHook(HookBase):
    """A hook with a state."""

    def __init__(self):
        self.steps = 0

    def after_step(self):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state_dict):
        self.steps = state_dict["steps"]


class Calls(HookBase):
    """A hook of functions that take the trainer."""

    def __init__(self, **functions):
        for name, function in functions.items():
            setattr(self, name, lambda function=function: function(self.trainer))


def add_noise(record):
    return {**record, "x": record["image_id"] / 10 + np.random.rand() / 10}


class ToyStep(SimpleTrainer):
    def run_step(self):
        losses = self.model(next(self._data_loader_iter))
        self.optimizer.zero_grad()
        sum(losses.values()).backward()
        self._write_metrics(losses, 0.0)
        self.optimizer.step()


class ToyTrainer(DefaultTrainer):
    def build_hooks(self):
        self.counter = CountingHook()
        checkpoints = hooks.PeriodicCheckpointer(
            self.checkpointer, self.cfg.SOLVER.CHECKPOINT_PERIOD
        )
        return [
            self.counter,
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            checkpoints if comm.is_main_process() else None,
            hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, self.evaluate),
            hooks.PeriodicWriter(self.writers()) if comm.is_main_process() else None,
        ]

    def writers(self):
        folder = Path(self.cfg.OUTPUT_DIR)
        folder.mkdir(parents=True, exist_ok=True)
        return [JSONWriter(str(folder / "metrics.json")), TensorboardXWriter(str(folder))]

    def evaluate(self):
        loader = build_detection_test_loader(self.cfg, "toy", dict)
        return inference_on_dataset(self.model, loader, MeanEvaluator())

    @classmethod
    def build_optimizer(cls, cfg, model):
        trained = [p for p in model.parameters() if p.requires_grad]
        return torch.optim.SGD(trained, lr=cfg.SOLVER.BASE_LR, momentum=0.9)

    @classmethod
    def build_lr_scheduler(cls, cfg, optimizer):
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg):
        return build_detection_train_loader(cfg, add_noise, dataset=RECORDS)

    @classmethod
    def build_step_trainer(cls, cfg, model, data_loader, optimizer):
        return ToyStep(model, data_loader, optimizer)


def toy_cfg(output_dir, **solver):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "ToyModel"
    cfg.OUTPUT_DIR = str(output_dir)
    cfg.SEED = 1
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    settings = {"MAX_ITER": 8, "BASE_LR": 0.1, "IMS_PER_BATCH": 4, "CHECKPOINT_PERIOD": 4}
    for key, value in {**settings, "WARMUP_ITERS": 3, "STEPS": (6,), **solver}.items():
        setattr(cfg.SOLVER, key, value)
    return cfg
