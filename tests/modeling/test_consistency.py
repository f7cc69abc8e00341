"""A body (0), plates (1), wheels (2), a left (6) and a right (10) front door, scored by hand."""

import numpy as np
import pytest
import torch

from sav.d2 import Boxes, Instances, build_model
from sav.errors import SAVError
from sav.modeling.consistency import ConsistencyRules, rescore
from sav.ontology import load_ontology
from sav.ontology.mining import GRID, PriorMiner

from ..tiny import tiny_config

ONTOLOGY = load_ontology("vehicleseg10k")
BODY, PLATE, WHEEL, LEFT, RIGHT = 0, 1, 2, 6, 10


def mined(vehicles):
    """Priors of vehicles with a body, a plate in it and one door, now left, now right."""
    miner = PriorMiner(ONTOLOGY)
    boxes = np.array([[0, 0, 100, 50], [80, 30, 90, 35], [30, 10, 50, 40]], dtype=np.float64)
    for index in range(vehicles):
        masks = np.zeros((3, GRID, GRID), dtype=bool)
        miner.add(np.array([BODY, PLATE, RIGHT if index % 2 else LEFT]), boxes, masks)
    return miner.finish(["made.json"])


@pytest.fixture(scope="module")
def rules():
    return ConsistencyRules.from_priors(mined(1000), ONTOLOGY)


def parts(*rows):
    """Rows of class, score, vehicle and box."""
    instances = Instances((60, 300))
    instances.pred_classes = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    instances.scores = torch.tensor([row[1] for row in rows])
    instances.vehicle_ids = torch.tensor([row[2] for row in rows], dtype=torch.int64)
    instances.pred_boxes = Boxes(torch.tensor([row[3] for row in rows]).float().reshape(-1, 4))
    return instances


DOOR_BOX, BODY_BOX = [30, 10, 50, 40], [0, 0, 100, 50]


def test_left_and_right_doors_of_one_vehicle_contradict(rules):
    found = rescore(parts((LEFT, 0.8, 0, DOOR_BOX), (RIGHT, 0.5, 0, DOOR_BOX)), rules)
    assert found.pred_classes.tolist() == [LEFT, RIGHT]
    assert found.scores[0] == pytest.approx(0.8)
    # The better one takes nearly its own share away.
    assert found.scores[1] == pytest.approx(0.5 * (1 - 0.8), abs=0.03)


def test_doors_of_two_vehicles_do_not(rules):
    given = parts((LEFT, 0.8, 0, DOOR_BOX), (RIGHT, 0.5, 1, DOOR_BOX))
    assert torch.equal(rescore(given, rules).scores, given.scores)


def test_what_goes_together_keeps_its_scores(rules):
    given = parts(
        (BODY, 0.9, 0, BODY_BOX), (PLATE, 0.7, 0, [80, 30, 90, 35]), (LEFT, 0.6, 0, DOOR_BOX)
    )
    assert torch.equal(rescore(given, rules).scores, given.scores)


def test_a_plate_must_lie_in_or_near_the_body(rules):
    def score(box):
        found = rescore(parts((BODY, 0.9, 0, BODY_BOX), (PLATE, 0.7, 0, box)), rules)
        return found.scores[1].item()

    assert score([98, 30, 104, 35]) == pytest.approx(0.7)  # over the edge by less than the margin
    assert score([130, 30, 140, 35]) < 0.15


def test_one_of_several_bodies_may_hold_the_plate(rules):
    given = parts(
        (BODY, 0.9, 0, BODY_BOX),
        (BODY, 0.8, 0, [150, 0, 250, 50]),
        (PLATE, 0.7, 0, [200, 9, 210, 14]),
    )
    assert rescore(given, rules).scores[rescore(given, rules).pred_classes == PLATE] == 0.7


def test_a_weaker_part_says_nothing_against_a_better_one(rules):
    given = parts((BODY, 0.2, 0, BODY_BOX), (PLATE, 0.7, 0, [200, 30, 210, 35]))
    assert rescore(given, rules).scores.max() == pytest.approx(0.7)


def test_no_more_than_the_vocabulary_allows(rules):
    rows = [(WHEEL, 0.9 - 0.1 * i, 0, [20 * i, 40, 20 * i + 10, 50]) for i in range(6)]
    scores = rescore(parts(*rows), rules).scores
    assert torch.allclose(scores[:4], torch.tensor([0.9, 0.8, 0.7, 0.6]))
    assert torch.allclose(scores[4:], torch.tensor([0.5, 0.4]) * (1 - 0.9))


def test_few_counts_contradict_nothing():
    rules = ConsistencyRules.from_priors(mined(4), ONTOLOGY)
    given = parts((LEFT, 0.8, 0, DOOR_BOX), (RIGHT, 0.5, 0, DOOR_BOX))
    assert torch.equal(rescore(given, rules).scores, given.scores)


def test_scores_never_rise_nothing_goes_and_the_input_stays(rules):
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(60, 2, generator=generator) * 100
    given = Instances((200, 200))
    given.pred_boxes = Boxes(torch.cat([low, low + 5 + 60 * torch.rand(60, 2)], dim=1))
    given.scores = torch.rand(60, generator=generator)
    given.pred_classes = torch.randint(0, 13, (60,), generator=generator)
    given.vehicle_ids = torch.randint(0, 2, (60,), generator=generator)
    given.number = torch.arange(60)
    before = given.scores.clone()
    found = rescore(given, rules)
    assert torch.equal(given.scores, before)
    assert sorted(found.number.tolist()) == list(range(60))
    assert (found.scores <= before[found.number]).all()
    assert (found.scores >= 0).all()
    assert (found.scores < before[found.number]).any()
    assert torch.equal(found.scores, found.scores.sort(descending=True).values)


def test_no_instance_at_all(rules):
    assert len(rescore(parts(), rules)) == 0


def test_the_config_switches_it_on(tmp_path):
    cfg = tiny_config()
    assert build_model(cfg).reader.consistency is None
    cfg.MODEL.SAV.TEST.CONSISTENCY = True
    cfg.MODEL.SAV.TEST.SCORE_THRESHOLD = 0.0
    with pytest.raises(SAVError, match=r"needs MODEL\.SAV\.TEST\.PRIORS"):
        build_model(cfg)
    mined(10).save(tmp_path / "priors.json")
    cfg.MODEL.SAV.TEST.PRIORS = str(tmp_path / "priors.json")
    model = build_model(cfg).eval()
    assert model.reader.consistency.lift.shape == (13, 13)
    with torch.no_grad():
        model.decoder.mask_bias.fill_(9.0)  # an untrained model sees nothing by itself
    photo = {"image": torch.zeros(3, 64, 64, dtype=torch.uint8), "height": 64, "width": 64}
    with torch.no_grad():
        assert model([photo])[0]["instances"].scores.numel()
