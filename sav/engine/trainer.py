"""The trainer: Detectron2's, with SAV's optimizer, step, data, evaluation and final model."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from sav.config import without_first_weights
from sav.d2 import (
    CfgNode,
    DefaultTrainer,
    HookBase,
    build_detection_train_loader,
    comm,
    hooks,
)
from sav.data.mapper import PartDatasetMapper
from sav.data.mixture import MixtureSampler
from sav.data.registration import load_training_records, shows_parts
from sav.engine.evaluate import (
    evaluate,
    ready_to_predict,
    save_best,
    save_predictor,
    share_buffers,
)
from sav.engine.hooks import BestResult, EMAHook, LastCheckpoints, StopTraining
from sav.engine.optimizer import build_adamw, build_schedule, freeze_others
from sav.engine.step import StepTrainer
from sav.engine.stopping import StopOnSignal
from sav.engine.writers import build_writers, show_predictions
from sav.errors import SAVError
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import load_weights
from sav.precision import Precision

logger = logging.getLogger(__name__)


class Trainer(DefaultTrainer):
    """Trains SAV from a config.

    Evaluation and the final model use the averaged weights and a gallery made by them. At the end
    OUTPUT_DIR holds ``model_final.safetensors``, ``gallery/``, ``results.json``, ``report.html``
    and ``predictions.png``; with TEST.EVAL_PERIOD also ``best/``, the run folder of the best
    evaluation.
    """

    stop: StopOnSignal | None = None
    reads_experiments = False  # of a config, see sav/bench/train.py
    # What it is made of, besides what has methods below; experiments replace some.
    build_mapper = PartDatasetMapper
    build_step_trainer = StepTrainer
    build_optimizer = staticmethod(build_adamw)
    build_lr_scheduler = staticmethod(build_schedule)

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        Precision.for_test(cfg, self.sav)  # refuses what it does not know before any training
        # Random constants, such as SAM's position code: older releases of torch's wrapper share
        # the parameters alone.
        share_buffers(self.sav)
        if self.sav.context is not None:
            self.checkpointer.add_checkpointable("gallery", self.sav.context.gallery)

    @property
    def sav(self) -> SAV:
        """The model, out of any distributed wrapper."""
        return getattr(self.model, "module", self.model)

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue the run in OUTPUT_DIR, or start from MODEL.WEIGHTS, or from scratch."""
        if resume and self.checkpointer.has_checkpoint():
            super().resume_or_load(resume=True)
        elif self.cfg.MODEL.WEIGHTS:
            load_weights(self.sav, Path(self.cfg.MODEL.WEIGHTS), adapt=True)

    def train(self) -> None:
        """Train from ``start_iter`` to the end, or until TEST.BEST.PATIENCE runs out.

        Ctrl-C and SIGTERM end it too, see :class:`~sav.engine.stopping.StopOnSignal`.
        """
        if comm.is_main_process():
            # Only now is it known where a resumed run goes on. Last, so that they see everything.
            writers = build_writers(self.cfg, self.start_iter, self.max_iter)
            self.register_hooks([hooks.PeriodicWriter(writers)])
        # When it stops a run, all that the others do in the iteration is done.
        self.stop = StopOnSignal(self.checkpoints)
        self.register_hooks([self.stop])
        try:
            super().train()
        except StopTraining:
            patience = self.cfg.TEST.BEST.PATIENCE
            logger.info("Stopped early: %d evaluations brought nothing better", patience)

    def after_train(self) -> None:
        """Call the hooks after training; all is in a checkpoint, so a signal ends it at once."""
        self.stop.release()
        super().after_train()

    def build_hooks(self) -> list[HookBase | None]:
        """Detectron2's hooks and ours.

        Whatever a resumed run needs is done before the checkpoint is written, the evaluation
        included: what it says about the best result would be lost otherwise.
        """
        cfg, solver, test = self.cfg, self.cfg.SOLVER, self.cfg.TEST
        self.ema = EMAHook(self.sav, solver.EMA_DECAY) if solver.EMA_DECAY else None
        self.best = None
        if test.EVAL_PERIOD and cfg.DATASETS.TEST:
            best = test.BEST
            self.best = BestResult(best.METRIC, best.MODE, best.PATIENCE, cfg.DATASETS.TEST)
        self.checkpoints = None
        if comm.is_main_process():
            period = solver.CHECKPOINT_PERIOD
            self.checkpoints = LastCheckpoints(self.checkpointer, period, max_to_keep=2)
        return [
            hooks.IterationTimer(),
            hooks.LRScheduler(),
            self.ema,
            hooks.EvalHook(test.EVAL_PERIOD, self.evaluate),
            self.best,
            self.checkpoints,
        ]

    def evaluate(self) -> dict[str, Any]:
        """Evaluate the averaged weights; after the last step also write the final model.

        A run that a signal has stopped is evaluated when it goes on. Detectron2 asks for it after
        the last step however that ended.
        """
        if self.stop is not None and self.stop.stopped:
            return {}
        cfg, folder = self.cfg, Path(self.cfg.OUTPUT_DIR)
        main = comm.is_main_process()
        with self.ema.averaged() if self.ema else nullcontext(), ready_to_predict(cfg, self.sav):
            last = self.iter + 1 >= self.max_iter
            if main and last:
                save_predictor(self.cfg, self.sav, folder)
            results = evaluate(cfg, self.sav, report=last)
            if self.best and self.best.improved(results) and main:
                save_best(cfg, self.sav, results)
        if main and results:
            show_predictions(self.storage, folder / "predictions.png")
        return results

    @classmethod
    def build_model(cls, cfg: CfgNode) -> SAV:
        """The model that the config names; SOLVER.TRAINED says what of it learns.

        Where MODEL.WEIGHTS follows, which has all of the encoder, what that started from is not
        read.
        """
        model = super().build_model(without_first_weights(cfg) if cfg.MODEL.WEIGHTS else cfg)
        freeze_others(model, cfg.SOLVER.TRAINED)
        return model

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[Any]:
        """Training photos, augmented, mixed as DATASETS.TRAIN_SHARES says."""
        # Detectron2 refuses to mix data sets with different classes; each record says which it has.
        data_sets = [load_training_records(name) for name in cfg.DATASETS.TRAIN]
        records = [record for data_set in data_sets for record in data_set]
        if not any(shows_parts(record) for record in records):
            raise SAVError(
                f"DATASETS.TRAIN: no photo of {', '.join(cfg.DATASETS.TRAIN) or 'no data set'} has "
                "an annotation to learn from; the log says what was lost, and the report of 'sav "
                "prepare' why"
            )
        if all(record["annotations"] for record in records):
            logger.info(
                "All %d training photos show parts, so the model will expect some in every photo; "
                "photos without annotations teach it otherwise",
                len(records),
            )
        sizes = [len(data_set) for data_set in data_sets]
        sampler = MixtureSampler.from_config(cfg, sizes) if cfg.DATASETS.TRAIN_SHARES else None
        mapper = cls.build_mapper(cfg)
        return build_detection_train_loader(cfg, mapper=mapper, dataset=records, sampler=sampler)
