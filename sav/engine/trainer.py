"""The trainer: Detectron2's, with SAV's optimizer, data, evaluation and final model."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sav.d2 import (
    CfgNode,
    DatasetEvaluators,
    DefaultTrainer,
    HookBase,
    build_detection_test_loader,
    build_detection_train_loader,
    comm,
    hooks,
    inference_on_dataset,
)
from sav.data import PartDatasetMapper
from sav.engine.ema import EMAHook
from sav.engine.gallery import build_gallery
from sav.engine.optimizer import build_adamw
from sav.evaluation import build_part_evaluator, format_results_table, write_results
from sav.modeling import SAV
from sav.modeling.weights import load_weights, save_weights

WRITE_PERIOD = 20


class Trainer(DefaultTrainer):
    """Trains SAV from a config.

    Evaluation and the final model use the averaged weights and a gallery made by them. At the end
    OUTPUT_DIR holds ``model_final.safetensors``, ``gallery/``, ``results.json`` and
    ``predictions.png``.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self.ema: EMAHook | None = None
        super().__init__(cfg)
        self.checkpointer.add_checkpointable("gallery", self.sav.gallery)

    @property
    def sav(self) -> SAV:
        """The model, out of any distributed wrapper."""
        return getattr(self.model, "module", self.model)

    @property
    def model(self) -> nn.Module:
        """What is trained."""
        return self._trainer.model

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue the run in OUTPUT_DIR, or start from MODEL.WEIGHTS, or from scratch."""
        if resume and self.checkpointer.has_checkpoint():
            super().resume_or_load(resume=True)
        elif self.cfg.MODEL.WEIGHTS:
            load_weights(self.sav, Path(self.cfg.MODEL.WEIGHTS), adapt=True)

    def build_hooks(self) -> list[HookBase]:
        """Detectron2's hooks, with the averaged weights before checkpoints and evaluation."""
        cfg = self.cfg
        found: list[HookBase] = [hooks.IterationTimer(), hooks.LRScheduler()]
        if cfg.SOLVER.EMA_DECAY:
            self.ema = EMAHook(self.sav, cfg.SOLVER.EMA_DECAY)
            found.append(self.ema)
        if comm.is_main_process():
            period = cfg.SOLVER.CHECKPOINT_PERIOD
            found.append(hooks.PeriodicCheckpointer(self.checkpointer, period, max_to_keep=2))
        found.append(hooks.EvalHook(cfg.TEST.EVAL_PERIOD, self.evaluate))
        if comm.is_main_process():
            found.append(hooks.PeriodicWriter(self.build_writers(), period=WRITE_PERIOD))
        return found

    def evaluate(self) -> dict[str, Any]:
        """Evaluate the averaged weights; after the last step also write the final model."""
        with self.ema.averaged() if self.ema else nullcontext():
            return evaluate_run(self.cfg, self.sav, save=self.iter + 1 >= self.max_iter)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW, see :mod:`sav.engine.optimizer`."""
        return build_adamw(cfg, model)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Any:
        """Training photos, augmented."""
        return build_detection_train_loader(cfg, mapper=PartDatasetMapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Test photos, without their annotations."""
        return build_detection_test_loader(
            cfg,
            dataset_name,
            mapper=PartDatasetMapper(cfg, is_train=False),
            batch_size=cfg.MODEL.SAV.TEST.BATCH,
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluators:
        """COCO AP, part metrics and the sheet of predictions."""
        return build_part_evaluator(cfg, dataset_name)


def evaluate_run(cfg: CfgNode, model: SAV, *, save: bool) -> dict[str, Any]:
    """Evaluate on every data set of DATASETS.TEST.

    Args:
        cfg: the run's config.
        model: with the weights to evaluate.
        save: also write ``model_final.safetensors`` and ``gallery/`` to OUTPUT_DIR.

    Returns:
        {data set: {task: {metric: percent}}} on the main process; empty on the others.
    """
    folder = Path(cfg.OUTPUT_DIR)
    trained_with, model.gallery = model.gallery, build_gallery(cfg, model)
    try:
        if save and comm.is_main_process():
            save_weights(model, folder / "model_final.safetensors")
            model.gallery.save(folder / "gallery")
        results = {
            name: inference_on_dataset(
                model, Trainer.build_test_loader(cfg, name), Trainer.build_evaluator(cfg, name)
            )
            for name in cfg.DATASETS.TEST
        }
    finally:
        model.gallery = trained_with
    if not comm.is_main_process():
        return {}
    write_results(folder / "results.json", results)
    table = format_results_table(results, model.ontology)
    logging.getLogger(__name__).info("Results\n%s", table)
    return results
