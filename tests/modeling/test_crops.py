"""Small vehicles are cut out and predicted again; what a crop shows replaces what the photo did."""

import numpy as np
import pytest
import torch

from sav.d2 import Boxes, Instances
from sav.data.crops import PhotoCrops
from sav.data.letterbox import Letterbox
from sav.modeling.crop_predictions import CropPrediction, likely_hulls, merge
from sav.modeling.crops import VehicleCrops

SIZE = 100, 200  # of the photo


def parts(*boxes, size=SIZE, vehicles=None, scores=None):
    """Instances that fill their boxes."""
    found = Instances(size)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    found.pred_masks = masks
    found.pred_boxes = Boxes(torch.tensor(boxes).float().reshape(-1, 4))
    found.scores = torch.tensor(scores or [0.9] * len(boxes))
    found.pred_classes = torch.arange(len(boxes))
    found.vehicle_ids = torch.tensor(vehicles or [0] * len(boxes))
    return found


def output(instances, label=1, components=()):
    part_map = torch.full(instances.image_size, label, dtype=torch.uint8)
    apart = torch.tensor(components, dtype=torch.int64).reshape(-1, 4)
    return {"instances": instances, "part_map": part_map, "components": apart}


def photo(size=SIZE):
    return np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)


class Untouched:
    """Masks, of which a photo of 12 megapixels has hundreds of megabytes."""

    def __len__(self):
        return 3

    def __getitem__(self, item):
        raise AssertionError("the masks are copied")


def test_boxes_of_vehicles_are_found_without_copying_masks():
    found = parts((0, 0, 10, 10), (5, 5, 30, 20), (90, 9, 99, 40), vehicles=[0, 0, 4])
    found.pred_masks = Untouched()
    assert likely_hulls(found) == {0: (0, 0, 30, 20), 4: (90, 9, 99, 40)}


class Model:
    """Answers each crop with one part in its middle half, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, items):
        self.asked += items
        answers = []
        for item in items:
            height, width = item["height"], item["width"]
            box = (width // 8, height // 8, width - width // 8, height - height // 8)
            answers.append(output(parts(box, size=(height, width), scores=[0.7]), label=5))
        return answers


def predicted(instances, below=0.6, components=(), tiles=False):
    model = Model()
    height, width = instances.image_size
    item = {"height": height, "width": width, "crop": PhotoCrops(photo(), Letterbox(64))}
    first = output(instances, components=components)
    (found,) = VehicleCrops(below, tiles)(model, [{**item, "photo_id": "a"}], [first])
    return model, found


def test_a_piece_of_a_photo_fills_the_canvas():
    pixels = photo()
    for side in (32, 64):
        piece = PhotoCrops(pixels, Letterbox(side))((40, 20, 72, 36))
        assert piece["image"].shape == (3, side // 2, side)
        assert (piece["height"], piece["width"]) == (16, 32)
    same = PhotoCrops(pixels, Letterbox(32))((40, 20, 72, 36))["image"]
    np.testing.assert_array_equal(same.permute(1, 2, 0), pixels[20:36, 40:72])


def test_only_small_vehicles_are_predicted_again():
    boxes = [(10, 10, 50, 50), (60, 0, 190, 90), (190, 90, 196, 96), (100, 60, 130, 80)]
    scores = [0.9, 0.9, 0.9, 0.09]
    model, found = predicted(parts(*boxes, vehicles=[0, 1, 2, 3], scores=scores))
    (asked,) = model.asked  # the others are large, tiny, and unlikely
    assert asked["photo_id"] == "a"
    assert "crop" not in asked
    assert (asked["height"], asked["width"]) == (52, 52)
    assert sorted(found["instances"].vehicle_ids.tolist()) == [0, 1, 2, 3]


APART = [(0, 0, 130, 90), (150, 40, 190, 80)]  # one of them large


def test_vehicles_that_share_masks_are_predicted_one_by_one():
    first = parts((0, 0, 190, 90), (5, 90, 9, 95), vehicles=[3, 5], scores=[0.7, 0.9])
    model, found = predicted(first, components=APART)
    sizes = [(asked["width"], asked["height"]) for asked in model.asked]
    assert sizes == [(150, 100), (52, 52)]
    seen = found["instances"]
    assert sorted(seen.vehicle_ids.tolist()) == [3, 5, 6]
    by_id = dict(zip(seen.vehicle_ids.tolist(), seen.pred_boxes.tensor.tolist(), strict=True))
    assert by_id[3][2] < 140 < by_id[6][0]
    assert by_id[5] == [5, 90, 9, 95]


@pytest.mark.parametrize("tiles", [False, True])
def test_a_vehicle_that_a_post_cuts_in_two_stays_one(tiles):
    """Its pieces show no more than it did: 2 parts of 0.7 instead of 2 of 0.9."""
    first = parts((0, 0, 190, 90), (20, 20, 170, 80), vehicles=[3, 3])
    model, found = predicted(first, components=APART, tiles=tiles)
    assert len(model.asked) >= 2
    assert 3 in found["instances"].vehicle_ids
    assert torch.equal(found["instances"].pred_masks[:2], first.pred_masks)
    assert first.vehicle_ids.tolist() == [3, 3]


def test_pieces_too_small_for_a_crop_change_nothing():
    first = parts((0, 0, 190, 90), vehicles=[3])
    model, found = predicted(first, components=[(0, 0, 10, 10), (150, 40, 160, 50)])
    assert not model.asked
    assert found["instances"].vehicle_ids.tolist() == [3]


def test_unsure_parts_say_where_a_vehicle_is_only_if_it_has_no_others():
    boxes = [(10, 10, 30, 30), (30, 10, 50, 30), (100, 60, 120, 80), (120, 60, 160, 80)]
    first = parts(*boxes, vehicles=[0, 0, 1, 1], scores=[0.2, 0.12, 0.4, 0.2])
    model, found = predicted(first)
    sizes = [(asked["width"], asked["height"]) for asked in model.asked]
    assert sizes == [(52, 32), (26, 26)]  # the first is all of vehicle 0, the second half of 1
    assert found["instances"].scores.tolist() == pytest.approx([0.7, 0.7])


def test_the_crop_takes_the_place_of_its_vehicle_and_of_no_other():
    first = parts((10, 10, 50, 50), (20, 20, 30, 30), (60, 0, 190, 90), vehicles=[4, 4, 1])
    _, found = predicted(first)
    seen = found["instances"]
    assert seen.vehicle_ids.tolist() == [1, 4]
    assert seen.scores.tolist() == pytest.approx([0.9, 0.7])
    # The crop is (4, 4, 56, 56); its part is the middle three quarters.
    assert seen.pred_boxes.tensor[1].tolist() == [10, 10, 50, 50]
    assert torch.equal(seen.pred_masks[0], first.pred_masks[2])
    rows, columns = seen.pred_masks[1].nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 10, 49)
    assert (found["part_map"][10:50, 10:50] == 5).all()
    assert (found["part_map"] == 5).sum() == 40 * 40


def test_a_vehicle_at_the_border_keeps_its_place():
    _, found = predicted(parts((170, 70, 200, 100)))
    rows, columns = found["instances"].pred_masks[0].nonzero().T
    assert rows.max() < 100
    assert columns.max() < 200
    assert columns.min() >= 166


@pytest.mark.parametrize("seen", [parts((0, 0, 9, 9), size=(60, 60)), parts(size=(60, 60))])
def test_a_crop_that_shows_another_vehicle_or_none_changes_nothing(seen):
    assert CropPrediction.at(3, (10, 10, 50, 50), (0, 0, 60, 60), output(seen, label=5)) is None
    before = output(parts((10, 10, 50, 50), vehicles=[3]))
    merge(before, [])
    assert before["instances"].vehicle_ids.tolist() == [3]
    assert (before["part_map"] == 1).all()


def test_labels_of_a_vehicle_in_front_stay():
    front = (30, 30, 120, 95)
    _, found = predicted(parts((10, 10, 50, 50), front, vehicles=[0, 1]), below=0.3)
    labels = found["part_map"]
    assert (labels[10:50, 10:30] == 5).all()
    assert (labels[30:50, 30:50] == 1).all()


def test_without_crops_or_small_vehicles_nothing_is_asked():
    for instances, below in ((parts((10, 10, 50, 50)), 0.0), (parts(), 0.6)):
        model, found = predicted(instances, below)
        assert model.asked == []
        assert found["instances"] is instances


def test_the_model_looks_again_by_config(cfg, make_input):
    from sav.d2 import build_model

    cfg.MODEL.SAV.TEST.CROPS = 1.5  # every vehicle
    cfg.MODEL.SAV.TEST.SCORE_THRESHOLD = 0.0
    model = build_model(cfg).eval()
    item = make_input()
    image = item["image"].permute(1, 2, 0).numpy()
    height, width = image.shape[:2]
    bare = {"image": item["image"], "height": height, "width": width}
    sizes = []
    encode = model.encode
    model.encode = lambda items: (sizes.append(len(items)), encode(items))[1]
    with torch.no_grad():
        model([bare])
        once = list(sizes)
        model([{**bare, "crop": PhotoCrops(image, Letterbox(max(height, width)))}])
    assert once == [1]
    assert len(sizes) in (2, 3)  # an untrained model may find no vehicle to cut out
