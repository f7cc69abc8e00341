"""A model, data and trainer so small that whole runs fit in a test."""

import numpy as np
import torch
from torch import nn

from sav.d2 import (
    META_ARCH_REGISTRY,
    Boxes,
    DatasetEvaluator,
    DefaultTrainer,
    HookBase,
    Instances,
    TrainingSampler,
    build_detection_test_loader,
    build_detection_train_loader,
    comm,
    get_cfg,
)

RECORDS = [{"image_id": i, "width": 6, "height": 4} for i in range(10)]


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


def add_noise(record):
    return {**record, "x": record["image_id"] / 10 + np.random.rand() / 10}


class ToyTrainer(DefaultTrainer):
    def build_hooks(self):
        self.counter = CountingHook()
        return [self.counter, *super().build_hooks()]

    @classmethod
    def build_train_loader(cls, cfg):
        return build_detection_train_loader(
            RECORDS,
            mapper=add_noise,
            sampler=TrainingSampler(len(RECORDS), seed=max(cfg.SEED, 0)),
            total_batch_size=cfg.SOLVER.IMS_PER_BATCH,
            aspect_ratio_grouping=False,
            num_workers=cfg.DATALOADER.NUM_WORKERS,
        )

    @classmethod
    def build_test_loader(cls, cfg, dataset_name):
        return build_detection_test_loader(RECORDS, mapper=dict)

    @classmethod
    def build_evaluator(cls, cfg, dataset_name):
        return MeanEvaluator()


def toy_cfg(output_dir, **solver):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "ToyModel"
    cfg.OUTPUT_DIR = str(output_dir)
    cfg.SEED = 1
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATASETS.TEST = ("toy",)
    cfg.TEST.EVAL_PERIOD = 0
    settings = {"MAX_ITER": 8, "BASE_LR": 0.1, "IMS_PER_BATCH": 4, "CHECKPOINT_PERIOD": 4}
    for key, value in {**settings, "WARMUP_ITERS": 3, "STEPS": (6,), **solver}.items():
        setattr(cfg.SOLVER, key, value)
    return cfg


def predicted(size, boxes, classes, scores):
    """Instances whose masks are their boxes."""
    instances = Instances(size)
    instances.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    instances.scores = torch.tensor(scores, dtype=torch.float32)
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[int(y0) : int(y1), int(x0) : int(x1)] = True
    instances.pred_masks = masks
    return instances
