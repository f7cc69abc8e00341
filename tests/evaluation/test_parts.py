import json
import math

import numpy as np
import pytest
import torch

from sav.d2 import DatasetCatalog, comm, launch
from sav.data.registration import register_part_datasets
from sav.errors import SAVError
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
    evaluator = PartEvaluator(dataset.name)
    evaluator.reset()
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
    for name in ("mIoU", "mAcc", "mIoU_bg", "instance_mean_IoU"):
        assert parts[name] == pytest.approx(100)
    assert parts["side_confusion"] == 0
    assert math.isnan(parts["IoU-Plate"])


def test_keys_come_in_the_order_of_the_contract(dataset):
    keys = list(evaluate(dataset, [dataset.nothing(r) for r in dataset.records]))
    assert keys[:4] == ["mIoU", "mAcc", "mIoU_bg", "IoU-Foreground"]
    assert keys[-2:] == ["side_confusion", "instance_mean_IoU"]


def test_spoilt_maps_score_what_the_hand_computes(dataset):
    outputs = [spoil(dataset.perfect(r), i) for i, r in enumerate(dataset.records)]
    parts = evaluate(dataset, outputs)
    # The wheel has 15 rows, of which rows 48 to 54 are lost; the door is wrong in 3 of 5 images.
    assert parts["IoU-Wheel"] == pytest.approx(100 * 8 / 15)
    assert parts["IoU-Left front door"] == pytest.approx(40)
    assert parts["side_confusion"] == pytest.approx(60)
    assert parts["IoU-Foreground"] == pytest.approx(100)
    assert parts["mIoU"] == pytest.approx((100 + 40 + 100 * 8 / 15) / 3)


def test_an_image_seen_twice_counts_once(dataset):
    records = [*dataset.records, dataset.records[0]]
    outputs = [spoil(dataset.perfect(r), i) for i, r in enumerate(dataset.records)]
    again = evaluate(dataset, [*outputs, outputs[0]], records)
    once = evaluate(dataset, outputs)
    assert equal(again, once)


def test_no_image_at_all_is_an_error(dataset):
    evaluator = PartEvaluator(dataset.name)
    evaluator.reset()
    with pytest.raises(SAVError, match="no image was evaluated"):
        evaluator.evaluate()


def test_maps_of_another_size_and_strangers_are_errors(dataset):
    evaluator = PartEvaluator(dataset.name)
    evaluator.reset()
    output = dataset.perfect(dataset.records[0])
    with pytest.raises(SAVError, match="no image with id 99"):
        evaluator.process([{"image_id": 99}], [output])
    with pytest.raises(SAVError, match="image 2: prediction is"):
        evaluator.process([{"image_id": 2}], [output])


def test_truth_is_never_taken_from_the_inputs(dataset):
    evaluator = PartEvaluator(dataset.name)
    evaluator.reset()
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
    evaluator = PartEvaluator(name)
    evaluator.reset()
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
