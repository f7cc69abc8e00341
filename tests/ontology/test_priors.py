import dataclasses
import json

import numpy as np
import pytest

from sav.errors import SAVError
from sav.ontology import load_ontology
from sav.ontology.mining import GRID, PriorMiner, to_grid
from sav.ontology.priors import Priors

ONTOLOGY = load_ontology("vehicleseg10k")
BODY, PLATE, WHEEL = 0, 1, 2
NUMBERS = [field.name for field in dataclasses.fields(Priors) if field.type == "np.ndarray"]
LEFT_WINDOW, LEFT, LEFT_BACK = 5, 6, 8
RIGHT_WINDOW, RIGHT, RIGHT_BACK = 9, 10, 12


def mine(*vehicles, ontology=ONTOLOGY):
    """Each vehicle a list of (class, x0, y0, x1, y1): filled boxes."""
    miner = PriorMiner(ontology)
    for parts in vehicles:
        boxes = np.array([part[1:] for part in parts], dtype=np.float64)
        frame = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
        masks = []
        for _, x0, y0, x1, y1 in parts:
            mask = np.zeros((200, 200), np.uint8)
            mask[y0:y1, x0:x1] = 1
            masks.append(to_grid(mask, frame))
        miner.add(np.array([part[0] for part in parts]), boxes, np.stack(masks))
    return miner.finish(["made.json"])


BODY_BOX = (BODY, 0, 0, 100, 50)


def test_co_visibility_counts_vehicles():
    priors = mine([BODY_BOX, (PLATE, 80, 30, 90, 40)], [BODY_BOX], [BODY_BOX], [BODY_BOX])
    assert priors.vehicles == 4
    assert priors.frequency.share[[BODY, PLATE, WHEEL]].tolist() == [1, 0.25, 0]
    assert priors.co_visibility.share[BODY, PLATE] == 0.25
    assert priors.co_visibility.share[PLATE, BODY] == 1


def test_mirror_images_share_their_priors():
    left = [(LEFT, 20, 10, 40, 40), (LEFT_WINDOW, 30, 0, 50, 10), (LEFT_BACK, 40, 10, 80, 40)]
    right = [(RIGHT, 60, 10, 80, 40), (RIGHT_WINDOW, 50, 0, 70, 10), (RIGHT_BACK, 20, 10, 60, 40)]
    one, other = mine(left), mine(right)
    both = mine(left, right)
    assert one.is_symmetric(ONTOLOGY.mirror_ids)
    for name in NUMBERS:
        assert np.allclose(getattr(one, name), getattr(other, name)), name
    assert np.allclose(one.offset, both.offset)
    assert np.allclose(2 * one.seen, both.seen)
    assert one.offset[LEFT, LEFT_BACK, 0] == pytest.approx(30 / 60)
    assert one.offset[RIGHT, RIGHT_BACK, 0] == pytest.approx(-30 / 60)
    assert one.seen[LEFT] == one.seen[RIGHT] == 0.5


def test_place_and_size_in_the_vehicles_frame():
    priors = mine([BODY_BOX, (PLATE, 80, 30, 90, 35)])
    # Nothing tells the front from the back here: x is turned both ways.
    assert priors.offset[BODY, PLATE].tolist() == pytest.approx([0, 0.15])
    assert priors.spread[BODY, PLATE].tolist() == pytest.approx([0.35, 0])
    assert priors.log_scale[BODY, PLATE] == pytest.approx(np.log(0.1))
    assert np.allclose(priors.log_scale, -priors.log_scale.T)
    assert np.allclose(priors.offset, -priors.offset.transpose(1, 0, 2))


def test_means_and_spreads_are_over_all_pairs():
    boxes = [(20, 10, 40, 30), (40, 20, 50, 40), (50, 0, 90, 40)]
    priors = mine(*([BODY_BOX, (WHEEL, *box)] for box in boxes))
    corners = np.array(boxes, dtype=float)
    y = (corners[:, 1] + corners[:, 3]) / 2 / 50 - 0.5
    x = (corners[:, 0] + corners[:, 2]) / 2 / 100 - 0.5
    scale = np.log((corners[:, 2:] - corners[:, :2]) / (100, 50)).mean(1)
    assert priors.offset[BODY, WHEEL] == pytest.approx([0, y.mean()])
    assert priors.spread[BODY, WHEEL] == pytest.approx([np.concatenate([x, -x]).std(), y.std()])
    assert priors.log_scale[BODY, WHEEL] == pytest.approx(scale.mean())
    assert priors.log_scale_spread[BODY, WHEEL] == pytest.approx(scale.std())
    assert priors.spread[PLATE, WHEEL].tolist() == [0, 0]  # never seen together


def test_the_frame_takes_out_place_and_size_of_the_vehicle():
    near = mine([BODY_BOX, (PLATE, 80, 30, 90, 35)])
    far = mine([(BODY, 50, 100, 70, 110), (PLATE, 66, 106, 68, 107)])
    assert np.allclose(near.offset, far.offset)
    assert np.allclose(near.log_scale, far.log_scale, atol=1e-6)


def test_several_instances_of_a_class():
    wheels = [(WHEEL, 10, 40, 20, 50), (WHEEL, 70, 40, 80, 50), (WHEEL, 85, 40, 95, 50)]
    priors = mine([BODY_BOX, *wheels], [BODY_BOX, wheels[0]])
    assert priors.co_visibility.share[WHEEL, WHEEL] == 0.5
    assert priors.pairs[WHEEL, WHEEL] == 6
    assert priors.pairs[BODY, WHEEL] == 4
    assert priors.together[BODY, WHEEL] == 2
    assert priors.offset[WHEEL, WHEEL, 0] == 0
    assert priors.spread[WHEEL, WHEEL, 0] > 0.4


@pytest.mark.parametrize(("gap", "touches"), [(0, 1), (1, 1), (8, 0)])
def test_adjacency_is_touching_or_nearly(gap, touches):
    priors = mine([(BODY, 0, 0, 50, 50), (LEFT, 50 + gap, 0, 100 + gap, 50)])
    assert priors.adjacency.share[BODY, LEFT] == touches
    assert priors.adjacency.share[LEFT, BODY] == touches


def test_containment_is_of_the_best_box():
    plate = (PLATE, 80, 30, 90, 40)
    assert mine([BODY_BOX, plate]).containment.share[BODY, PLATE] == 1
    assert mine([BODY_BOX, plate]).containment.share[PLATE, BODY] == pytest.approx(0.02)
    half = mine([(BODY, 0, 0, 85, 50), plate])
    assert half.containment.share[BODY, PLATE] == pytest.approx(0.5)
    two = mine([(BODY, 0, 0, 10, 50), BODY_BOX, plate])
    assert two.containment.share[BODY, PLATE] == 1


def test_no_part_is_too_small_for_the_grid():
    mask = np.zeros((500, 900), np.uint8)
    mask[250, 450] = 1
    grid = to_grid(mask, np.array([0, 0, 900, 500]))
    assert grid.shape == (GRID, GRID)
    assert grid.sum() == 1
    small = to_grid(np.eye(3, dtype=np.uint8), np.array([0, 0, 3, 3]))
    assert small.diagonal().all()


def test_a_file_gives_back_the_priors(tmp_path):
    priors = mine(
        [BODY_BOX, (PLATE, 80, 30, 90, 40), (WHEEL, 10, 45, 20, 55), (LEFT, 30, 10, 57, 43)],
        [BODY_BOX, (WHEEL, 11, 45, 23, 57), (WHEEL, 71, 45, 79, 57), (RIGHT, 30, 10, 57, 43)],
        [BODY_BOX, (LEFT, 30, 5, 50, 40), (LEFT_WINDOW, 33, 0, 51, 7)],
    )
    priors.save(tmp_path / "priors.json")
    loaded = Priors.load(tmp_path / "priors.json", ONTOLOGY)
    assert loaded.sources == ("made.json",)
    for name in (*NUMBERS, "offset", "spread", "log_scale", "log_scale_spread"):
        assert np.array_equal(getattr(loaded, name), getattr(priors, name)), name


def test_a_file_holds_counts_and_sums_in_one_line_a_row(tmp_path):
    mine([BODY_BOX, (PLATE, 80, 30, 90, 35)]).save(tmp_path / "priors.json")
    lines = (tmp_path / "priors.json").read_text().splitlines()
    rows = [json.loads(line.strip().rstrip(",")) for line in lines if line.startswith("  {")]
    assert [row["class"] for row in rows[:13]] == ONTOLOGY.class_names
    assert len(rows) == 13 + 13 * 13
    scale = np.log(0.1)
    assert rows[13 + 1] == {
        "a": "Foreground",
        "b": "Plate",
        "together": 1,
        "touching": 1,
        "containment_sum": 1,
        "pairs": 1,
        "offset_sum": [0, pytest.approx(0.15)],
        "offset_squares": [pytest.approx(0.35**2), pytest.approx(0.15**2)],
        "log_scale_sum": pytest.approx(scale),
        "log_scale_squares": pytest.approx(scale**2),
    }


def test_priors_of_another_vocabulary_are_refused(tmp_path):
    mine([BODY_BOX]).save(tmp_path / "priors.json")
    with pytest.raises(SAVError, match=r"priors\.json: priors of the vocabulary 'vehicleseg10k'"):
        Priors.load(tmp_path / "priors.json", load_ontology("dsmlr"))


@pytest.fixture
def sound(tmp_path):
    """The file of two vehicles, and its contents."""
    path = tmp_path / "priors.json"
    mine([BODY_BOX, (LEFT, 30, 10, 50, 40)], [BODY_BOX, (RIGHT, 50, 10, 70, 40)]).save(path)
    return path, json.loads(path.read_text())


def refusal(path):
    """The one line that says why a file is no priors."""
    with pytest.raises(SAVError) as caught:
        Priors.load(path, ONTOLOGY)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_file_of_priors_is_refused(tmp_path):
    path = tmp_path / "priors.json"
    assert "no priors there" in refusal(path)
    assert "no priors there" in refusal(tmp_path)
    path.write_text("{")
    assert "not valid JSON" in refusal(path)
    path.write_bytes(b"\x89PNG\xff")
    assert "not valid JSON" in refusal(path)
    for other in ("[1]", "{}", '{"images": []}'):
        path.write_text(other)
        assert "not priors; make them with 'sav graph mine'" in refusal(path)


BROKEN = {
    "no pairs": lambda c: c.pop("pairs"),
    "a pair too few": lambda c: c["pairs"].pop(),
    "pairs in another order": lambda c: c["pairs"].reverse(),
    "an unknown entry": lambda c: c.update(note="mine"),
    "an unknown entry of a pair": lambda c: c["pairs"][6].update(share=0.9),
    "a missing entry of a pair": lambda c: c["pairs"][6].pop("touching"),
    "a word for a number": lambda c: c["pairs"][6].update(together="2"),
    "not a number": lambda c: c["pairs"][6].update(log_scale_sum=float("nan")),
    "one of two numbers": lambda c: c["pairs"][6].update(offset_sum=[0.0]),
    "no class": lambda c: c.update(classes=None),
    "no number of vehicles": lambda c: c.update(vehicles=None),
}
IMPOSSIBLE = {
    "touching apart": lambda c: c["pairs"][6].update(touching=5.0),
    "together unseen": lambda c: c["pairs"][6].update(together=2.0, pairs=2.0),
    "more seen than there are": lambda c: c["classes"][0].update(seen=3.0),
    "fewer than none": lambda c: c["pairs"][6].update(touching=-1.0),
    "more within than there is": lambda c: c["pairs"][6].update(containment_sum=1.5),
    "out of the frame": lambda c: c["pairs"][6].update(offset_sum=[0.0, 9.0]),
    "a square below 0": lambda c: c["pairs"][6].update(log_scale_squares=-1.0),
}
LOPSIDED = {
    "seen": lambda c: c["classes"][LEFT].update(seen=1.5),
    "log scale": lambda c: c["pairs"][6].update(log_scale_sum=-9.0),
    "offset to the same side": lambda c: c["pairs"][6].update(offset_sum=[0.5, 0.0]),
}


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("priors of version 1, not 2", lambda c: c.update(version=1)),
        *(("broken priors", change) for change in BROKEN.values()),
        *(("its counts contradict one another", change) for change in IMPOSSIBLE.values()),
        *(("left and right differ", change) for change in LOPSIDED.values()),
    ],
    ids=["version", *BROKEN, *IMPOSSIBLE, *LOPSIDED],
)
def test_broken_priors_are_refused(sound, words, change):
    path, contents = sound
    assert Priors.load(path, ONTOLOGY).vehicles == 2
    change(contents)
    path.write_text(json.dumps(contents))
    assert words in refusal(path)


def test_nothing_to_mine_is_an_error():
    with pytest.raises(SAVError, match="no part is annotated"):
        PriorMiner(ONTOLOGY).finish(["empty.json"])
