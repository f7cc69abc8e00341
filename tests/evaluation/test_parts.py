import json
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sav.d2 import DatasetCatalog, MetadataCatalog, comm, launch
from sav.data.registration import register_part_datasets
from sav.errors import SAVError
from sav.evaluation.build import build_part_evaluator
from sav.evaluation.parts import PartEvaluator

FOREGROUND, WHEEL, LEFT_DOOR, RIGHT_DOOR = 0, 2, 6, 10


def spoil(output, index):
    """Calls part of the wheel background, and in even images the left door the right one."""
    labels = output["part_map"].clone()
    labels[48:][labels[48:] == WHEEL + 1] = 0
    if index % 2 == 0:
        labels[labels == LEFT_DOOR + 1] = RIGHT_DOOR + 1
    return {**output, "part_map": labels}


def evaluate(dataset, outputs, records=None):
    evaluator = PartEvaluator(dataset.name, dataset.records)
    for record, output in zip(records or dataset.records, outputs, strict=True):
        evaluator.process([{"image_id": record["image_id"]}], [output])
    return evaluator.evaluate()["parts"]


def equal(first, second):
    """Bitwise, with NaN equal to itself."""
    return list(first) == list(second) and np.array_equal(
        list(first.values()), list(second.values()), equal_nan=True
    )


def test_perfect_maps_score_100(dataset):
    parts = evaluate(dataset, [dataset.perfect(r) for r in dataset.records])
    for name in ("mIoU", "mAcc", "mIoU_bg", "fwIoU", "paper_mIoU"):
        assert parts[name] == pytest.approx(100)
    assert parts["side_confusion"] == 0
    assert math.isnan(parts["IoU-Plate"])


def test_keys_come_in_the_order_of_the_contract(dataset):
    keys = list(evaluate(dataset, [dataset.nothing(r) for r in dataset.records]))
    first = ["mIoU", "mAcc", "mIoU_bg", "fwIoU", "paper_mIoU", "IoU-Foreground"]
    assert keys[: len(first)] == first
    assert keys[-1] == "side_confusion"


def test_spoilt_maps_score_what_the_hand_computes(dataset):
    outputs = [spoil(dataset.perfect(r), i) for i, r in enumerate(dataset.records)]
    parts = evaluate(dataset, outputs)
    # The wheel has 15 rows, of which rows 48 to 54 are lost; the door is wrong in 3 of 5 images.
    assert parts["IoU-Wheel"] == pytest.approx(100 * 8 / 15)
    assert parts["IoU-Left front door"] == pytest.approx(40)
    assert parts["side_confusion"] == pytest.approx(60)
    assert parts["IoU-Foreground"] == pytest.approx(100)
    assert parts["mIoU"] == pytest.approx((100 + 40 + 100 * 8 / 15) / 3)


def test_a_second_evaluation_does_not_read_the_annotations_again(dataset):
    opened = []
    watching = False

    def note(event, args):
        if watching and event == "open":
            opened.append(str(args[0]))

    outputs = [dataset.perfect(record) for record in dataset.records]
    results = []
    sys.addaudithook(note)
    for _ in range(2):
        evaluator = build_part_evaluator(dataset.cfg, dataset.name)
        evaluator.reset()
        evaluator.process(dataset.records, outputs)
        results.append(evaluator.evaluate())
        watching = True
    watching = False
    assert all(equal(results[0][task], results[1][task]) for task in ("bbox", "segm", "parts"))
    assert MetadataCatalog.get(dataset.name).json_file not in opened


def test_an_image_seen_twice_counts_once(dataset):
    records = [*dataset.records, dataset.records[0]]
    outputs = [spoil(dataset.perfect(r), i) for i, r in enumerate(dataset.records)]
    again = evaluate(dataset, [*outputs, outputs[0]], records)
    once = evaluate(dataset, outputs)
    assert equal(again, once)


def test_no_image_at_all_is_an_error(dataset):
    evaluator = PartEvaluator(dataset.name, dataset.records)
    with pytest.raises(SAVError, match="no image was evaluated"):
        evaluator.evaluate()


def test_maps_of_another_size_and_strangers_are_errors(dataset):
    evaluator = PartEvaluator(dataset.name, dataset.records)
    output = dataset.perfect(dataset.records[0])
    with pytest.raises(SAVError, match="no image with id 99"):
        evaluator.process([{"image_id": 99}], [output])
    with pytest.raises(SAVError, match="image 2: prediction is"):
        evaluator.process([{"image_id": 2}], [output])


def test_truth_is_never_taken_from_the_inputs(dataset):
    evaluator = PartEvaluator(dataset.name, dataset.records)
    for record in dataset.records:
        lie = {"image_id": record["image_id"], "annotations": []}
        evaluator.process([lie], [dataset.nothing(record)])
    assert evaluator.evaluate()["parts"]["mIoU"] == 0


SHARES = ([0, 1, 2], [3, 4], [])
"""Images of each process."""


def shard(cfg, outputs, folder):
    """One process of several."""
    rank = comm.get_rank()
    register_part_datasets(cfg)
    (name,) = cfg.DATASETS.TEST
    records = DatasetCatalog.get(name)
    evaluator = PartEvaluator(name, records)
    for index in SHARES[rank]:
        part_map = torch.from_numpy(outputs[index])
        evaluator.process([{"image_id": records[index]["image_id"]}], [{"part_map": part_map}])
    results = evaluator.evaluate()
    if comm.is_main_process():
        (folder / "results.json").write_text(json.dumps(results))
    else:
        assert results == {}


def test_several_processes_with_uneven_shares_give_the_numbers_of_one(dataset, tmp_path):
    outputs = [spoil(dataset.perfect(r), i) for i, r in enumerate(dataset.records)]
    alone = evaluate(dataset, outputs)
    maps = [np.asarray(output["part_map"]) for output in outputs]
    launch(shard, len(SHARES), dist_url="auto", args=(dataset.cfg, maps, tmp_path))
    together = json.loads((tmp_path / "results.json").read_text())["parts"]
    assert equal(together, alone)


def run_all(dataset, outputs):
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
    results = run_all(dataset, [dataset.perfect(r) for r in dataset.records])
    tasks = ["bbox", "boundary", "calibration", "parts", "segm", "vehicles"]
    assert sorted(results) == tasks
    calibration = results["calibration"]
    assert calibration["precision@0.3"] == calibration["recall@0.3"] == 100
    for task in ("bbox", "segm"):
        assert results[task]["AP"] == pytest.approx(100)
        assert results[task]["AP-Wheel"] == pytest.approx(100)
    assert results["parts"]["mIoU"] == pytest.approx(100)
    assert results["vehicles"] == {"F1": 100, "PQ": 100}


def test_predicting_nothing_scores_0_and_keeps_the_rows(dataset):
    results = run_all(dataset, [dataset.nothing(r) for r in dataset.records])
    assert results["bbox"]["AP"] == 0
    assert results["segm"]["AP"] == 0
    assert results["parts"]["mIoU"] == 0
    assert results["vehicles"]["PQ"] == 0


def test_ap_is_that_of_pycocotools(dataset):
    shifts = [0, 1, 2, 3, 5]
    pairs = zip(dataset.records, shifts, strict=True)
    results = run_all(dataset, [shifted(dataset, record, pixels) for record, pixels in pairs])
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
        assert results[task]["AR"] == pytest.approx(100 * scorer.stats[8])


def test_sheet_shows_photo_truth_and_prediction(dataset):
    run_all(dataset, [dataset.perfect(r) for r in dataset.records])
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
    run_all(dataset, outputs)
    with Image.open(dataset.run / "predictions.png") as image:
        sheet = np.asarray(image.convert("RGB"))
    panel = (sheet.shape[1] - 16) // 3
    assert np.array_equal(sheet[40:350, :panel], sheet[40:350, 2 * (panel + 8) :])


def test_each_test_set_has_its_own_sheet(dataset):
    dataset.cfg.DATASETS.TEST = ("some_other_set", dataset.name)
    run_all(dataset, [dataset.perfect(r) for r in dataset.records])
    names = [p.name for p in dataset.run.glob("*.png")]
    assert names == [f"predictions_{dataset.name}.png"]


def test_what_lies_in_a_crowd_alone_counts_for_nothing(dataset):
    records = [
        {**record, "annotations": [dict(a) for a in record["annotations"]]}
        for record in dataset.records
    ]
    outputs = [dataset.perfect(record) for record in records]
    for record, output in zip(records, outputs, strict=True):
        wheel = record["annotations"][1]
        wheel["iscrowd"] = 1
        # Beyond the body it lies alone; there anything may be predicted.
        output["part_map"][50:][output["part_map"][50:] == WHEEL + 1] = RIGHT_DOOR + 1
        output["part_map"][:50][output["part_map"][:50] == WHEEL + 1] = FOREGROUND + 1
    evaluator = PartEvaluator(dataset.name, records)
    for record, output in zip(records, outputs, strict=True):
        evaluator.process([{"image_id": record["image_id"]}], [output])
    parts = evaluator.evaluate()["parts"]
    assert parts["mIoU"] == parts["mIoU_bg"] == 100
    assert math.isnan(parts["IoU-Wheel"])
