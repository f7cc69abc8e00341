import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sav.d2 import MetadataCatalog
from sav.evaluation.build import build_part_evaluator


def run(dataset, outputs):
    evaluator = build_part_evaluator(dataset.cfg, dataset.name)
    evaluator.reset()
    inputs = [{k: v for k, v in r.items() if k != "annotations"} for r in dataset.records]
    for given, output in zip(inputs, outputs, strict=True):
        evaluator.process([given], [output])
    return evaluator.evaluate()


def shifted(dataset, record, pixels):
    output = dataset.perfect(record)
    parts = output["instances"]
    parts.pred_masks = torch.roll(parts.pred_masks, pixels, dims=2)
    parts.pred_boxes.tensor[:, 0::2] += pixels
    return output


def test_perfect_predictions_score_100_everywhere(dataset):
    results = run(dataset, [dataset.perfect(r) for r in dataset.records])
    assert sorted(results) == ["bbox", "parts", "segm"]
    for task in ("bbox", "segm"):
        assert results[task]["AP"] == pytest.approx(100)
        assert results[task]["AP-Wheel"] == pytest.approx(100)
    assert results["parts"]["mIoU"] == pytest.approx(100)


def test_predicting_nothing_scores_0_and_keeps_the_rows(dataset):
    results = run(dataset, [dataset.nothing(r) for r in dataset.records])
    assert results["bbox"]["AP"] == 0
    assert results["segm"]["AP"] == 0
    assert results["parts"]["mIoU"] == 0


def test_ap_is_that_of_pycocotools(dataset):
    shifts = [0, 1, 2, 3, 5]
    pairs = zip(dataset.records, shifts, strict=True)
    results = run(dataset, [shifted(dataset, record, pixels) for record, pixels in pairs])
    truth = COCO(MetadataCatalog.get(dataset.name).json_file)
    detections = json.loads(
        (dataset.run / "inference" / dataset.name / "coco_instances_results.json").read_text()
    )
    for task in ("bbox", "segm"):
        scorer = COCOeval(truth, truth.loadRes([dict(d) for d in detections]), task)
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
        assert 10 < results[task]["AP"] < 90
        assert results[task]["AP"] == pytest.approx(100 * scorer.stats[0])
        assert results[task]["AP50"] == pytest.approx(100 * scorer.stats[1])


def test_sheet_shows_photo_truth_and_prediction(dataset):
    run(dataset, [dataset.perfect(r) for r in dataset.records])
    with Image.open(dataset.run / "predictions.png") as image:
        sheet = np.asarray(image.convert("RGB"))
    panel = (sheet.shape[1] - 16) // 3
    photo, truth, prediction = (sheet[40:350, i * (panel + 8) :][:, :panel] for i in range(3))
    assert len(np.unique(photo.reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(truth.reshape(-1, 3), axis=0)) > 50
    assert len(np.unique(prediction.reshape(-1, 3), axis=0)) > 50


def test_sheet_leaves_out_low_scores_but_not_their_photos(dataset):
    outputs = [dataset.perfect(r) for r in dataset.records]
    for output in outputs:
        output["instances"].scores *= 0.1
    run(dataset, outputs)
    with Image.open(dataset.run / "predictions.png") as image:
        sheet = np.asarray(image.convert("RGB"))
    panel = (sheet.shape[1] - 16) // 3
    assert np.array_equal(sheet[40:350, :panel], sheet[40:350, 2 * (panel + 8) :])


def test_each_test_set_has_its_own_sheet(dataset):
    dataset.cfg.DATASETS.TEST = ("some_other_set", dataset.name)
    run(dataset, [dataset.perfect(r) for r in dataset.records])
    names = [p.name for p in dataset.run.glob("*.png")]
    assert names == [f"predictions_{dataset.name}.png"]
