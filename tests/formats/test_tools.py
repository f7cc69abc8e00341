"""What annotation tools write in COCO's and LabelMe's formats is read as they mean it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sav.errors import SAVError
from sav.formats.coco import COCO
from sav.formats.labelme import LABELME
from sav.formats.reading import Reading, read_entry
from sav.formats.registry import FORMATS, detect_format, open_data

DATA = Path(__file__).parent / "data"


def truth():
    """A wheel with a hole, and a door; see data/README.md."""
    masks = np.zeros((2, 48, 64), dtype=bool)
    masks[0, 10:30, 8:40] = True
    masks[0, 15:22, 15:25] = False
    masks[1, 5:25, 44:60] = True
    return masks


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg")
    return tmp_path


def read(form, entries, **options):
    """Parts by their labels, where nothing was wrong."""
    results = [read_entry(form, Reading(**options), entry) for entry in entries]
    assert not [str(problem) for result in results for problem in result.problems]
    return [(part.label, part) for result in results for part in result.instances], results


def write(folder, contents, name="_annotations.coco.json"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(contents))


def test_datumaro(folder):
    write(folder, json.loads((DATA / "coco" / "datumaro.json").read_text()), "instances_train.json")
    assert detect_format(folder) is COCO
    parts, (result,) = read(COCO, COCO.find(folder, None))
    assert [label for label, _ in parts] == ["Wheel", "door"]
    np.testing.assert_array_equal([part.mask for _, part in parts], truth())
    assert [part.vehicle_id for _, part in parts] == [2, None]  # an attribute of CVAT
    assert result.notes["crowds (iscrowd 1) read as instances"] == 1


def test_supervision(folder):
    write(folder, json.loads((DATA / "coco" / "supervision.json").read_text()), "annotations.json")
    assert detect_format(folder) is COCO
    parts, _ = read(COCO, COCO.find(folder, None))
    np.testing.assert_array_equal(parts[0][1].mask, truth()[0])
    # It draws polygons through the centres of pixels.
    assert (parts[1][1].mask <= truth()[1]).all()
    assert parts[1][1].area == 19 * 15


def test_label_studio(folder):
    write(folder, json.loads((DATA / "coco" / "label_studio.json").read_text()), "result.json")
    parts, (result,) = read(COCO, COCO.find(folder, None))
    whole = truth()
    whole[0, 15:22, 15:25] = True
    np.testing.assert_array_equal([part.mask for _, part in parts], whole)
    # "/data/upload/1/0a1b2c3d-a.jpg"
    assert result.notes["photos found under another name than the annotations give"] == 1


def test_labelme(folder):
    (folder / "a.json").write_text((DATA / "labelme" / "a.json").read_text())
    assert detect_format(folder) is LABELME
    parts, _ = read(LABELME, LABELME.find(folder, None))
    assert [label for label, _ in parts] == ["Wheel", "door", "Wheel", "plate"]
    np.testing.assert_array_equal(parts[0][1].mask, truth()[0])
    door = truth()[1]
    door[30:40, 44:60] = True  # the rectangle of the same group
    np.testing.assert_array_equal(parts[1][1].mask, door)
    assert abs(parts[2][1].area - np.pi * 8**2) < 8  # a circle, of which 2 pixels are outside
    assert parts[3][1].area == 50
    parts, _ = read(LABELME, LABELME.find(folder, None), group="vehicle")
    assert [part.vehicle_id for _, part in parts] == [None, 1, 1, 2, None]


def test_labelme_holds_the_photo_itself(folder):
    (folder / "a.jpg").unlink()
    (folder / "a.json").write_text((DATA / "labelme" / "a.json").read_text())
    (entry,) = LABELME.find(folder, None)
    assert entry.image is None
    assert LABELME.photo(entry)[:2] == b"\xff\xd8"


def roboflow(root, split, *, boxes=()):
    """As Roboflow lays it out: a root category, ``extra`` fields, and boxes without outlines."""
    folder = root / split
    folder.mkdir()
    name = f"car_{split}_jpg.rf.0a1b2c3d4e.jpg"
    Image.new("RGB", (64, 48)).save(folder / name)
    image = {"id": 0, "license": 1, "file_name": name, "height": 48, "width": 64}
    annotation = {"image_id": 0, "category_id": 1, "bbox": [4, 4, 20, 20], "area": 400}
    outline = [[4, 4, 24, 4, 24, 24, 4, 24]]
    contents = {
        "info": {"year": "2026", "version": "1", "description": "Exported from roboflow.com"},
        "licenses": [{"id": 1, "url": "", "name": "CC BY 4.0"}],
        "categories": [
            {"id": 0, "name": "car-parts", "supercategory": "none"},
            {"id": 1, "name": "Wheel", "supercategory": "car-parts"},
        ],
        "images": [{**image, "extra": {"name": "car.jpg"}}],
        "annotations": [
            {"id": i, **annotation, "segmentation": [] if i in boxes else outline, "iscrowd": 0}
            for i in range(2)
        ],
    }
    write(folder, contents)


def test_roboflow(tmp_path):
    for split in ("train", "valid", "test"):
        roboflow(tmp_path, split, boxes=[1] if split == "test" else [])
    form, entries = open_data(tmp_path, None, None, tmp_path / "out")
    assert form is COCO
    assert sorted(entry.split for entry in entries) == ["test", "train", "valid"]
    results = {entry.split: read_entry(form, Reading(), entry) for entry in entries}
    assert [len(results[split].instances) for split in ("train", "valid", "test")] == [2, 2, 1]
    (problem,) = results["test"].problems
    assert "annotation 1 of car_test_jpg.rf.0a1b2c3d4e.jpg (Wheel): it has a box and no" in str(
        problem
    )


def test_coco_has_no_holes_in_polygons(folder):
    """One in another is a piece like any other: the union is taken, as pycocotools does."""
    contents = json.loads((DATA / "coco" / "datumaro.json").read_text())
    outer, inner = [8, 10, 40, 10, 40, 30, 8, 30], [15, 15, 25, 15, 25, 22, 15, 22]
    contents["annotations"][0]["segmentation"] = [outer, inner]
    write(folder, contents)
    parts, _ = read(COCO, COCO.find(folder, None))
    assert parts[0][1].area == 32 * 20


def test_a_split_that_is_cut_off_is_not_left_out(tmp_path):
    for split in ("train", "valid"):
        roboflow(tmp_path, split)
    file = tmp_path / "valid" / "_annotations.coco.json"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(SAVError, match=r"valid/_annotations.coco.json: not valid JSON"):
        COCO.find(tmp_path, None)


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.photo is None])
def test_formats_say_what_they_do_not_find(name, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SAVError):
        open_data(tmp_path / "empty", None, name, tmp_path / "out")
