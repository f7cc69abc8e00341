"""Vehicles that are small in the whole photo are found in tiles of it."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from sav.d2 import Boxes, Instances
from sav.data.crops import PhotoCrops
from sav.data.letterbox import Letterbox
from sav.errors import SAVError
from sav.modeling.crops import VehicleCrops, nothing_found
from sav.modeling.tiles import TileDetection, each_once, goes_on, renew, tile_boxes

HEIGHT, WIDTH = 300, 400
VEHICLE = (230, 140, 290, 170)  # across the middle of the photo


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((300, 400), 6),
        ((400, 300), 6),
        ((400, 400), 9),
        ((375, 1242), 6),
        ((1, 1), 1),
        ((2, 900), 15),
    ],
)
def test_tiles_cover_the_photo_and_overlap_by_half(size, count):
    tiles = tile_boxes(size)
    assert len(tiles) == count
    seen = np.zeros(size, int)
    for left, top, right, bottom in tiles:
        assert right - left == bottom - top or bottom == size[0] == 2
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1
    for axis in (0, 1):
        side = tiles[0][2 + axis]
        starts = sorted({tile[axis] for tile in tiles})
        assert all(after - before <= (side + 1) / 2 for before, after in pairwise(starts))
        assert starts[-1] + side == size[1 - axis]


def test_a_box_goes_on_where_it_touches_a_side_within_the_photo():
    tile, size = (100, 0, 300, 200), (200, 400)
    assert not goes_on((110, 0, 290, 200), tile, size)  # above and below the photo ends
    assert goes_on((100, 20, 150, 100), tile, size)
    assert goes_on((200, 20, 299, 100), tile, size)


def test_each_vehicle_is_taken_once_whole_rather_than_cut_and_surer_first():
    whole, sure = (
        TileDetection((10, 10, 50, 40), 0.4, False),
        TileDetection((60, 10, 90, 40), 0.9, False),
    )
    piece = TileDetection((30, 10, 50, 40), 0.99, True)
    unsure = TileDetection((58, 12, 88, 42), 0.5, False)
    known = (200, 200, 300, 300)
    inside = TileDetection((210, 210, 250, 250), 0.9, False)
    found = each_once([piece, unsure, whole, sure, inside], [known])
    assert found == [sure.box, whole.box]


def test_a_box_of_a_tile_takes_the_place_of_the_same_vehicles_box():
    vehicles = {3: (0, 0, 40, 20), 5: (100, 100, 140, 140)}
    left, right, other = (0, 0, 18, 20), (22, 0, 40, 20), (200, 100, 220, 120)
    renewed = renew(vehicles, [left, right, other], 6)
    assert renewed == {3: left, 5: vehicles[5], 6: right, 7: other}


class Model:
    """Sees the vehicle in pieces of at most 200 pixels that show all of it."""

    def __init__(self):
        self.asked = 0

    def __call__(self, items):
        self.asked += len(items)
        return [self._answer(item) for item in items]

    def _answer(self, item):
        size = item["height"], item["width"]
        rows, columns = (item["image"][0] > 128).nonzero().T
        if max(size) > 200 or not len(rows):
            return nothing_found(size)
        scale = max(size) / max(item["image"].shape[1:])
        ends = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        box = [round(float(end) * scale) for end in ends]
        instances = Instances(size)
        mask = torch.zeros(1, *size, dtype=torch.bool)
        mask[0, box[1] : box[3], box[0] : box[2]] = True
        instances.pred_masks, instances.pred_boxes = mask, Boxes(torch.tensor([box]).float())
        instances.scores, instances.pred_classes = torch.tensor([0.8]), torch.tensor([3])
        instances.vehicle_ids = torch.tensor([0])
        part_map = mask[0].to(torch.uint8) * 4
        return nothing_found(size) | {"instances": instances, "part_map": part_map}


def predicted(tiles):
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    left, top, right, bottom = VEHICLE
    photo[top:bottom, left:right] = 255
    model = Model()
    item = {"height": HEIGHT, "width": WIDTH, "crop": PhotoCrops(photo, Letterbox(200))}
    first = nothing_found((HEIGHT, WIDTH))
    (found,) = VehicleCrops(0.6, tiles)(model, [item], [first])
    return model, found


def test_a_vehicle_that_only_tiles_show_is_predicted_by_its_crop():
    model, found = predicted(tiles=True)
    assert model.asked == 6 + 1
    parts = found["instances"]
    np.testing.assert_allclose(parts.pred_boxes.tensor[0], VEHICLE, atol=1)
    assert parts.scores.tolist() == pytest.approx([0.8])
    rows, columns = parts.pred_masks[0].nonzero().T
    seen = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    np.testing.assert_allclose(seen, VEHICLE, atol=1)
    assert (found["part_map"] == 4).sum() == parts.pred_masks.sum()


def test_without_tiles_nothing_is_looked_at():
    model, found = predicted(tiles=False)
    assert model.asked == 0
    assert not len(found["instances"])


def test_tiles_without_crops_are_refused(cfg):
    cfg.MODEL.SAV.TEST.CROPS, cfg.MODEL.SAV.TEST.TILES = 0.0, True
    with pytest.raises(SAVError, match=r"TILES: vehicles in tiles need MODEL\.SAV\.TEST\.CROPS"):
        VehicleCrops.from_config(cfg)
