import json
import math

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from sav.d2 import (
    COCOEvaluator,
    DatasetEvaluator,
    DatasetEvaluators,
    inference_on_dataset,
)

from .toy import predicted

SIZE = (40, 60)


class Recorder(DatasetEvaluator):
    def __init__(self, task):
        self.task = task

    def reset(self):
        self.seen = []

    def process(self, inputs, outputs):
        self.seen += [i["image_id"] for i in inputs]

    def evaluate(self):
        return {self.task: {"seen": len(self.seen)}}


def test_inference_restores_the_mode_and_joins_evaluators():
    model = torch.nn.Identity()
    model.train()
    loader = [[{"image_id": i}] for i in range(5)]
    results = inference_on_dataset(model, loader, DatasetEvaluators([Recorder("a"), Recorder("b")]))
    assert results == {"a": {"seen": 5}, "b": {"seen": 5}}
    assert model.training
    with pytest.raises(AssertionError):
        inference_on_dataset(model, loader, DatasetEvaluators([Recorder("a"), Recorder("a")]))


def truth(i):
    """The boxes of the images in the fixture."""
    return [[2 * i, 4, 2 * i + 10, 16], [30, 10, 50, 35]]


def evaluate(dataset, tmp_path, outputs, tasks=("bbox", "segm")):
    evaluator = COCOEvaluator(dataset, tasks=tasks, output_dir=str(tmp_path / "out"))
    evaluator.reset()
    for i, instances in outputs.items():
        evaluator.process([{"image_id": i}], [{"instances": instances}])
    return evaluator.evaluate()


def test_perfect_predictions_score_a_hundred(dataset, tmp_path):
    outputs = {i: predicted(SIZE, truth(i), [0, 1], [0.9, 0.8]) for i in (1, 2, 3)}
    outputs[4] = predicted(SIZE, [], [], [])
    results = evaluate(dataset, tmp_path, outputs)
    for task in ("bbox", "segm"):
        assert results[task]["AP"] == pytest.approx(100)
        assert results[task]["AP-wheel"] == pytest.approx(100)
        assert math.isnan(results[task]["AP-plate"])
        assert math.isnan(results[task]["APl"])
        assert list(results[task])[:6] == ["AP", "AP50", "AP75", "APs", "APm", "APl"]
    saved = json.loads((tmp_path / "out" / "coco_instances_results.json").read_text())
    assert len(saved) == 6
    assert {r["category_id"] for r in saved} == {10, 20}
    assert saved[0]["bbox"] == pytest.approx([2, 4, 10, 12])
    assert isinstance(saved[0]["segmentation"]["counts"], str)


def test_partial_predictions(dataset, tmp_path):
    """Wheels are right, doors are shifted: their box IoU is 15 / 25, true up to 0.6."""
    outputs = {}
    for i in (1, 2, 3):
        wheel, door = truth(i)
        shifted = [door[0] + 5, door[1], door[2] + 5, door[3]]
        outputs[i] = predicted(SIZE, [wheel, shifted], [0, 1], [0.9, 0.8])
    results = evaluate(dataset, tmp_path, outputs, tasks=("bbox",))
    assert set(results) == {"bbox"}
    assert results["bbox"]["AP-wheel"] == pytest.approx(100)
    assert results["bbox"]["AP-door"] == pytest.approx(30, abs=0.5)
    assert results["bbox"]["AP50"] == pytest.approx(100)
    assert results["bbox"]["AP75"] == pytest.approx(50)


def test_mask_sizes_are_those_of_masks(dataset, tmp_path):
    """A mask of 100 pixels in a box of 1500 is small, not medium, and hides nothing there."""
    outputs = {i: predicted(SIZE, truth(i), [0, 1], [0.9, 0.8]) for i in (1, 2, 3)}
    extra = predicted(SIZE, [[0, 0, 60, 25]], [0], [0.99])
    extra.pred_masks = torch.zeros(1, *SIZE, dtype=torch.bool)
    extra.pred_masks[0, :2, :50] = True
    outputs[4] = extra
    results = evaluate(dataset, tmp_path, outputs)
    assert results["segm"]["APs"] < 100


def test_no_predictions_score_zero_and_keep_every_row(dataset, tmp_path):
    outputs = {i: predicted(SIZE, [], [], []) for i in (1, 2, 3, 4)}
    results = evaluate(dataset, tmp_path, outputs)
    for task in ("bbox", "segm"):
        assert results[task]["AP"] == 0
        assert results[task]["AP50"] == 0
        assert results[task]["AP-wheel"] == 0
        assert results[task]["APs"] == 0
        assert math.isnan(results[task]["AP-plate"])
        assert math.isnan(results[task]["APl"])


def test_no_image_at_all_scores_zero_too(dataset, tmp_path):
    results = evaluate(dataset, tmp_path, {})
    assert results["bbox"]["AP"] == results["segm"]["AP-door"] == 0


def test_what_is_found_in_a_crowd_is_no_mistake(dataset, tmp_path):
    path = tmp_path / "coco.json"
    coco = json.loads(path.read_text())
    crowd = {"id": 99, "image_id": 4, "category_id": 10, "bbox": [0, 0, 40, 30], "iscrowd": 1}
    code = mask_util.encode(
        np.asfortranarray(np.pad(np.ones((30, 40), np.uint8), [(0, 10), (0, 20)]))
    )
    crowd |= {"area": 1200, "segmentation": {**code, "counts": code["counts"].decode()}}
    coco["annotations"].append(crowd)
    path.write_text(json.dumps(coco))
    outputs = {i: predicted(SIZE, truth(i), [0, 1], [0.8, 0.8]) for i in (1, 2, 3)}
    outputs[4] = predicted(SIZE, [[2, 2, 20, 20], [10, 10, 30, 28]], [0, 0], [0.9, 0.9])
    results = evaluate(dataset, tmp_path, outputs)
    assert results["bbox"]["AP"] == pytest.approx(100)
    assert results["segm"]["AP"] == pytest.approx(100)
