"""Evaluating a model, and writing what prediction needs of it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import distributed as dist

from sav.d2 import (
    CfgNode,
    MetadataCatalog,
    build_detection_test_loader,
    comm,
    dump_config,
    inference_on_dataset,
)
from sav.data.mapper import PartDatasetMapper
from sav.engine.gallery import build_gallery
from sav.evaluation.build import build_part_evaluator
from sav.evaluation.results import Results, format_results_table, write_results
from sav.files import write_atomic
from sav.gallery.files import load_gallery, save_gallery
from sav.modeling.meta_arch import SAV
from sav.modeling.weights import gallery_fingerprint, save_weights, training_data
from sav.precision import Precision
from sav.run_folder import CONFIG_FILE, GALLERY_FOLDER, RESULTS_FILE, WEIGHTS_FILE


@contextmanager
def ready_to_predict(cfg: CfgNode, model: SAV) -> Iterator[None]:
    """Within this context the model's gallery, if it has one, is of its present weights.

    Raises:
        SAVError: the gallery of MODEL.SAV.TEST.GALLERY is missing, broken, or of other weights.
    """
    # Running means, or each process would evaluate a slightly different model.
    share_buffers(model)
    context, folder = model.context, cfg.MODEL.SAV.TEST.GALLERY
    if context is None:
        yield
        return
    trained_with = context.gallery
    if folder:
        context.gallery = load_gallery(Path(folder))
        context.gallery.check_fingerprint(gallery_fingerprint(model), folder)
    else:
        context.gallery = build_gallery(cfg, model)
    try:
        yield
    finally:
        context.gallery = trained_with


def share_buffers(model: SAV) -> None:
    """Give all processes the first one's; every process must call it."""
    if comm.get_world_size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def evaluate(cfg: CfgNode, model: SAV, *, report: bool = False) -> Results:
    """Evaluate a model that is ready to predict on every data set of DATASETS.TEST.

    Writes results.json, the sheets and the detections.

    Args:
        cfg: of the run.
        model: ready to predict.
        report: write the pages of the worst photos, too; they take some seconds.

    Returns:
        {data set: {task: {metric: percent}}} on the main process; {} on the others.
    """
    results = {}
    # Test photos come without their annotations.
    mapper = PartDatasetMapper(cfg, is_train=False)
    folder = Path(cfg.OUTPUT_DIR)
    for name in cfg.DATASETS.TEST:
        loader = build_detection_test_loader(
            cfg, name, mapper=mapper, batch_size=cfg.MODEL.SAV.TEST.BATCH
        )
        evaluator = build_part_evaluator(cfg, name, report=report)
        with Precision.for_test(cfg, model).autocast():
            results[name] = inference_on_dataset(model, loader, evaluator)
    if not comm.is_main_process():
        return {}
    class_names = {name: MetadataCatalog.get(name).thing_classes for name in results}
    write_results(folder / RESULTS_FILE, results)
    logging.getLogger(__name__).info("Results\n%s", format_results_table(results, class_names))
    return results


def save_predictor(cfg: CfgNode, model: SAV, folder: Path) -> None:
    """Write the weights of a model that is ready to predict, and its gallery."""
    before = ""
    if cfg.MODEL.WEIGHTS:
        unknown = f"data that {cfg.MODEL.WEIGHTS} does not name"
        before = training_data(Path(cfg.MODEL.WEIGHTS)) or unknown
    trained_on = "; then ".join(filter(None, (before, ", ".join(cfg.DATASETS.TRAIN))))
    save_weights(model, folder / WEIGHTS_FILE, trained_on=trained_on)
    if model.context is not None:
        save_gallery(model.context.gallery, folder / GALLERY_FOLDER)


def save_best(cfg: CfgNode, model: SAV, results: Results) -> None:
    """Write OUTPUT_DIR/best, a run folder of its own, in the place of the one before."""
    folder = Path(cfg.OUTPUT_DIR) / "best"
    partial = folder.with_name(".best.partial")
    shutil.rmtree(partial, ignore_errors=True)
    save_predictor(cfg, model, partial)
    write_results(partial / RESULTS_FILE, results)
    write_atomic(partial / CONFIG_FILE, dump_config(cfg))
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
