import json

import numpy as np
import pytest
from PIL import Image

from sav.cli import dispatch
from sav.errors import SAVError
from sav.formats.masks import decode_codes, encode_mask
from sav.ontology import load_ontology, load_views
from sav.synthetic.plates import draw_plate, paste_plate

SIZE = 240, 320


def photo():
    rng = np.random.default_rng(0)
    return rng.integers(60, 90, (*SIZE, 3), dtype=np.uint8)


def bumper():
    mask = np.zeros(SIZE, bool)
    mask[150:210, 60:260] = True
    return mask


def test_plates_differ_in_shape_colour_and_signs():
    plates = [draw_plate(np.random.default_rng(seed)) for seed in range(40)]
    assert len({plate.shape for plate in plates}) >= 5
    assert len({tuple(plate[8, plate.shape[1] // 2]) for plate in plates}) >= 5
    for plate in plates:
        assert plate.std() > 20  # there is writing on it
    same = [draw_plate(np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*same)


@pytest.mark.parametrize("seed", range(8))
def test_a_plate_lies_on_its_part_and_changes_nothing_else(seed):
    before = photo()
    after, mask = paste_plate(before, bumper(), np.random.default_rng(seed))
    rows, columns = mask.nonzero()
    assert 0.1 * 200 < np.ptp(columns) < 0.35 * 200
    assert (mask & bumper()).sum() > 0.8 * mask.sum()
    around = np.zeros(SIZE, bool)
    around[rows.min() - 3 : rows.max() + 4, columns.min() - 3 : columns.max() + 4] = True
    np.testing.assert_array_equal(after[~around], before[~around])
    assert np.abs(after[mask].astype(int) - before[mask]).mean() > 10


def test_small_and_steep_parts_get_no_plate():
    small, steep = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    small[10:20, 10:30] = True
    steep[10:230, 100:140] = True
    for holder in (small, steep, np.zeros(SIZE, bool)):
        assert paste_plate(photo(), holder, np.random.default_rng(0)) is None


@pytest.fixture
def prepared(tmp_path):
    """Three photos: of a front end, of a rear end, and of a wheel."""
    names = load_ontology("dsmlr").class_names
    images, annotations = [], []
    for number, part in enumerate(("front_bumper", "trunk", "wheel"), 1):
        Image.fromarray(photo()).save(tmp_path / f"{number}.png")
        height, width = SIZE
        image = {"id": number, "file_name": f"{number}.png", "width": width, "height": height}
        images.append(image)
        code = {"category_id": names.index(part) + 1, "segmentation": encode_mask(bumper())}
        rest = {"bbox": [60, 150, 200, 60], "area": 12000, "iscrowd": 0, "vehicle_id": 0}
        annotations.append({"id": number, "image_id": number, **code, **rest})
    contents = {
        "info": {"ontology": "dsmlr", "image_root": "."},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }
    path = tmp_path / "instances_train.json"
    path.write_text(json.dumps(contents))
    return path


def test_photos_with_plates_are_a_data_set_in_a_view_that_knows_plates(prepared, tmp_path, capsys):
    out = tmp_path / "out"
    dispatch(["prepare", "plates", "--json", str(prepared), "--out", str(out)])
    assert "2 photos" in capsys.readouterr().out
    contents = json.loads((out / "instances_train.json").read_text())
    assert [image["file_name"] for image in contents["images"]] == ["1.jpg", "2.jpg"]
    plates = [a for a in contents["annotations"] if a["category_id"] > 18]
    assert [plate["image_id"] for plate in plates] == [1, 2]
    categories = {category["id"]: category["name"] for category in contents["categories"]}
    named = [categories[plate["category_id"]] for plate in plates]
    assert named == ["front_plate", "trunk_plate"]
    (mask,) = decode_codes([plates[0]["segmentation"]], *SIZE)
    assert (mask.astype(bool) & bumper()).sum() > 0.8 * mask.sum()
    holder = next(a for a in contents["annotations"] if a["image_id"] == 1 and a != plates[0])
    (rest,) = decode_codes([holder["segmentation"]], *SIZE)
    np.testing.assert_array_equal(rest.astype(bool), bumper() & ~mask.astype(bool))
    views = load_views(load_ontology("vehicle"), (str(out / "dsmlr_plates.yaml"),))
    view = next(view for view in views if view.name == "dsmlr_plates")
    assert [union.parts[0] for union in view.unions[18:]] == list(view.vocabulary.class_names[18:])
    first = (out / "instances_train.json").read_bytes(), (out / "images" / "1.jpg").read_bytes()
    dispatch(["prepare", "plates", "--json", str(prepared), "--out", str(out)])
    again = (out / "instances_train.json").read_bytes(), (out / "images" / "1.jpg").read_bytes()
    assert again == first


def test_other_vocabularies_and_photos_without_bumpers_are_refused(prepared, tmp_path):
    contents = json.loads(prepared.read_text())
    command = ["prepare", "plates", "--json", str(prepared), "--out", str(tmp_path / "out")]
    contents["annotations"] = contents["annotations"][2:]
    prepared.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="no photo shows a part"):
        dispatch(command)
    contents["info"]["ontology"] = "vehicle"
    prepared.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="is not dsmlr"):
        dispatch(command)


def test_a_photo_that_cannot_be_written_is_one_error(prepared, tmp_path):
    (tmp_path / "out" / "images" / "1.jpg").mkdir(parents=True)
    with pytest.raises(SAVError, match=r"1\.jpg: cannot be written"):
        dispatch(["prepare", "plates", "--json", str(prepared), "--out", str(tmp_path / "out")])


def test_without_a_folder_of_images_they_lie_beside_the_annotations(prepared, tmp_path):
    contents = json.loads(prepared.read_text())
    del contents["info"]["image_root"]
    prepared.write_text(json.dumps(contents))
    dispatch(["prepare", "plates", "--json", str(prepared), "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "images" / "1.jpg").is_file()
