import json

import pytest

from sav.d2 import comm, launch
from sav.data.registration import register_part_datasets
from sav.errors import SAVError
from sav.evaluation.instances import InstanceEvaluator


def output_of(dataset, index):
    """The truth of a photo with scores of its own, and in even photos a wheel less."""
    output = dataset.perfect(dataset.records[index])
    parts = output["instances"]
    parts.scores -= 0.05 * index
    output["instances"] = parts if index % 2 else parts[[0, 2]]
    return output


def evaluate(dataset, indices, path):
    evaluator = InstanceEvaluator(dataset.name, dataset.records, path)
    for index in indices:
        given = {"image_id": dataset.records[index]["image_id"], "annotations": []}
        evaluator.process([given], [output_of(dataset, index)])
    return evaluator.evaluate()


def test_truth_is_read_from_the_records(dataset, tmp_path):
    results = evaluate(dataset, range(5), tmp_path / "found.json")
    assert list(results) == ["bbox", "segm", "boundary", "calibration"]
    assert results["segm"]["AP-Foreground"] == pytest.approx(100)
    # Two of five wheels, up to a recall of 0.4.
    assert results["segm"]["AP-Wheel"] == pytest.approx(100 * 41 / 101)
    assert results["boundary"]["IoU"] == pytest.approx(100 * 12 / 15)


def test_detections_are_coco_results(dataset, tmp_path):
    path = tmp_path / "deep" / "found.json"
    evaluate(dataset, [0, 1, 0], path)
    found = json.loads(path.read_text())
    assert [(one["image_id"], one["category_id"]) for one in found] == [
        *[(1, 1), (1, 7)],
        *[(2, 1), (2, 3), (2, 7)],
    ]
    first = dataset.records[0]["annotations"][0]
    assert found[0]["bbox"] == first["bbox"]
    assert found[0]["segmentation"] == first["segmentation"]
    assert found[0]["score"] == pytest.approx(0.9)


def test_no_detection_is_an_empty_list(dataset, tmp_path):
    evaluator = InstanceEvaluator(dataset.name, dataset.records, tmp_path / "found.json")
    for record in dataset.records:
        evaluator.process([{"image_id": record["image_id"]}], [dataset.nothing(record)])
    assert evaluator.evaluate()["segm"]["AP"] == 0
    assert json.loads((tmp_path / "found.json").read_text()) == []


def test_strangers_are_errors(dataset, tmp_path):
    evaluator = InstanceEvaluator(dataset.name, dataset.records, tmp_path / "found.json")
    with pytest.raises(SAVError, match="no image with id 99"):
        evaluator.process([{"image_id": 99}], [output_of(dataset, 0)])


SHARES = ([0, 1, 2], [3, 4, 0], [])


def shard(dataset, folder):
    """One process of several."""
    register_part_datasets(dataset.cfg)
    results = evaluate(dataset, SHARES[comm.get_rank()], folder / "found.json")
    if comm.is_main_process():
        (folder / "results.json").write_text(json.dumps(results))
    else:
        assert results == {}


def test_several_processes_give_the_numbers_and_the_file_of_one(dataset, tmp_path):
    alone = evaluate(dataset, range(5), tmp_path / "alone.json")
    launch(shard, len(SHARES), dist_url="auto", args=(dataset, tmp_path))
    assert (tmp_path / "results.json").read_text() == json.dumps(alone)
    one, three = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("alone", "found"))
    assert sorted(one, key=json.dumps) == sorted(three, key=json.dumps)
