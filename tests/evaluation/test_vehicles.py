import json

import pytest
import torch

from sav.d2 import comm, launch
from sav.data.registration import register_part_datasets
from sav.drawing.parts import CONFIDENT
from sav.errors import SAVError
from sav.evaluation.vehicles import VehicleEvaluator


def apart(dataset, index):
    """The truth of a photo; in even photos the wheel is a vehicle of its own."""
    output = dataset.perfect(dataset.records[index])
    if index % 2 == 0:
        output["instances"].vehicle_ids = torch.tensor([0, 1, 0])
    return output


def process(evaluator, dataset, indices):
    for index in indices:
        given = {"image_id": dataset.records[index]["image_id"], "annotations": []}
        evaluator.process([given], [apart(dataset, index)])
    return evaluator.evaluate()


def test_evaluator_sums_photos_and_reads_the_truth_from_the_records(dataset):
    found = process(VehicleEvaluator(dataset.name, dataset.records), dataset, [0, 1, 2, 3, 4, 4])
    # Pairs: 3 of 3 in two photos, 1 of 3 in three. Vehicles: 5 annotated, 8 predicted; body and
    # door match in all, the wheel in two.
    assert found["vehicles"]["F1"] == pytest.approx(100 * 2 * (2 * 3 + 3) / (15 + 2 * 3 + 3))
    assert found["vehicles"]["PQ"] == pytest.approx(100 * (2 + 3 * 2 / 3) / ((5 + 8) / 2))


def test_evaluator_counts_what_is_shown(dataset):
    evaluator = VehicleEvaluator(dataset.name, dataset.records)
    output = apart(dataset, 1)
    output["instances"].scores = torch.tensor([CONFIDENT, CONFIDENT, CONFIDENT - 1e-3])
    evaluator.process([{"image_id": 2}], [output])
    assert evaluator.evaluate()["vehicles"] == {"F1": 100, "PQ": pytest.approx(100 * 2 / 3)}


def test_evaluator_takes_parts_by_their_score(dataset):
    evaluator = VehicleEvaluator(dataset.name, dataset.records)
    output = apart(dataset, 1)
    twice = output["instances"][torch.tensor([0, 1, 2, 1])]
    twice.vehicle_ids = torch.tensor([0, 0, 0, 1])
    for scores, f1 in (([0.9, 0.8, 0.7, 0.6], 100), ([0.9, 0.6, 0.7, 0.8], 50)):
        twice.scores = torch.tensor(scores)
        evaluator.reset()
        evaluator.process([{"image_id": 2}], [{"instances": twice}])
        assert evaluator.evaluate()["vehicles"]["F1"] == pytest.approx(f1)


def test_strangers_are_errors(dataset):
    evaluator = VehicleEvaluator(dataset.name, dataset.records)
    with pytest.raises(SAVError, match="no image with id 99"):
        evaluator.process([{"image_id": 99}], [apart(dataset, 0)])


SHARES = ([0, 1, 2], [3, 4, 0], [])


def shard(dataset, folder):
    """One process of several."""
    register_part_datasets(dataset.cfg)
    evaluator = VehicleEvaluator(dataset.name, dataset.records)
    results = process(evaluator, dataset, SHARES[comm.get_rank()])
    if comm.is_main_process():
        (folder / "results.json").write_text(json.dumps(results))
    else:
        assert results == {}


def test_several_processes_give_the_numbers_of_one(dataset, tmp_path):
    alone = process(VehicleEvaluator(dataset.name, dataset.records), dataset, range(5))
    launch(shard, len(SHARES), dist_url="auto", args=(dataset, tmp_path))
    assert json.loads((tmp_path / "results.json").read_text()) == alone
