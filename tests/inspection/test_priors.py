"""Counts of what vehicles show from each side."""

import json

import numpy as np
import pytest

from sav.errors import SAVError
from sav.formats.masks import encode_mask
from sav.inspection import priors as module
from sav.inspection.priors import Visibility, shipped_visibility
from sav.ontology import load_ontology
from tests.inspection.cars import LEFT, SIZE, VEHICLE, without

DSMLR = load_ontology("dsmlr")


def annotations(path, *cars):
    """Part annotations with one car of rectangles in each photo."""
    names = VEHICLE.class_names
    images, rows = [], []
    for number, boxes in enumerate(cars, start=1):
        images.append({"id": number, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]})
        for name, (x0, y0, x1, y1) in boxes.items():
            mask = np.zeros(SIZE, dtype=np.uint8)
            mask[y0:y1, x0:x1] = 1
            ids = {"id": len(rows) + 1, "image_id": number, "category_id": names.index(name) + 1}
            rows.append({**ids, "segmentation": encode_mask(mask), "vehicle_id": 0})
    categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
    contents = {"images": images, "annotations": rows, "categories": categories}
    path.write_text(json.dumps({"info": {"ontology": "vehicle"}, **contents}))
    return path


def share(visibility, side, name, given=None):
    ontology = visibility.ontology
    given = None if given is None else ontology.class_id(given)
    rate, count = visibility.rate(side, given)
    return float(rate.share[ontology.class_id(name)]), count


def mined(tmp_path, *cars):
    return Visibility.mine([annotations(tmp_path / "parts.json", *cars)], VEHICLE)


def test_vehicles_are_counted_from_both_sides(tmp_path):
    found = mined(tmp_path, LEFT, without(LEFT, "left_mirror"), without(LEFT, "roof"))
    assert share(found, "left", "left_mirror") == (pytest.approx(2 / 3), 3)
    # As many mirror images are seen from the right.
    assert share(found, "right", "right_mirror") == (pytest.approx(2 / 3), 3)
    assert share(found, "left", "left_mirror", given="roof") == (0.5, 2)
    assert share(found, "front", "hood")[1] == 0
    assert found.source == "3 vehicles in parts.json"


def test_slivers_and_vehicles_at_the_edge_do_not_count(tmp_path):
    x0, y0, _, y1 = LEFT["left_back_wheel"]
    sliver = LEFT | {"left_back_wheel": (x0, y0, x0 + 2, y1)}
    cut = {name: (x0 - 10, y0, x1 - 10, y1) for name, (x0, y0, x1, y1) in LEFT.items()}
    found = mined(tmp_path, LEFT, LEFT, LEFT, sliver, cut)
    assert share(found, "left", "left_back_wheel") == (0.75, 4)


def test_a_view_shows_a_class_where_it_shows_one_of_its_parts(tmp_path):
    found = mined(tmp_path, LEFT, without(LEFT, "left_front_door"))
    both = found.of_view(DSMLR)
    # The door of DSMLR has its window.
    assert share(both, "left", "front_left_door") == (1, 2)
    assert share(both, "left", "wheel") == (1, 2)
    assert share(both, "left", "hood") == (0, 2)
    assert found.of_view(VEHICLE) is found


def test_what_is_saved_is_read_again(tmp_path, monkeypatch):
    found = mined(tmp_path, LEFT, without(LEFT, "roof"))
    found.save(tmp_path / "priors.json")
    monkeypatch.setattr(module, "_SHIPPED", tmp_path / "priors.json")
    again = shipped_visibility(VEHICLE)
    assert again.source == found.source
    for side, rows in found.shown.items():
        assert sorted(rows.tolist()) == sorted(again.shown[side].tolist())


def test_nothing_to_count_is_an_error(tmp_path):
    with pytest.raises(SAVError, match="no whole vehicle whose side can be told"):
        mined(tmp_path, {"roof": LEFT["roof"]})
    with pytest.raises(SAVError, match="its categories are not the classes of dsmlr"):
        Visibility.mine([annotations(tmp_path / "parts.json", LEFT)], DSMLR)


def test_the_shipped_counts_are_of_both_sides_alike_and_of_all_sides():
    shipped = shipped_visibility(VEHICLE)
    for side in shipped.shown:
        assert shipped.rate(side)[1] > 50
    assert share(shipped, "front", "windshield")[0] > 0.9
    assert share(shipped, "rear", "windshield")[0] < 0.2
