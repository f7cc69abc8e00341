import hashlib
import json

import cv2
import numpy as np
import pytest

from sav.cli import dispatch
from sav.errors import SAVError
from sav.synthetic import contact_sheet, generate_dataset

_SMALL = {"splits": {"train": 14, "valid": 4}, "image_size": 64, "seed": 3}


def _digests(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return generate_dataset(tmp_path_factory.mktemp("made") / "data", workers=1, **_SMALL)


def test_workers_do_not_change_a_byte(made, tmp_path):
    again = generate_dataset(tmp_path / "data", workers=2, **_SMALL)
    assert _digests(made) == _digests(again)


def test_layout_is_that_of_vehicleseg10k(made):
    stems = {p.stem for p in (made / "images" / "train").iterdir()}
    assert len(stems) == 14
    assert all(len(stem) == 9 and stem.isdigit() for stem in stems)
    assert stems == {p.stem for p in (made / "annotations" / "train").iterdir()}
    record = json.loads((made / "annotations" / "valid" / "000000015.json").read_text())
    path = made / "annotations" / "valid" / record["imagePath"]
    assert cv2.imread(str(path)).shape == (record["imageHeight"], record["imageWidth"], 3)
    assert record["imageData"] is None
    assert {"label", "points", "group_id", "shape_type", "flags"} <= record["shapes"][0].keys()
    assert record["shapes"][0]["label"] == "Foreground"


def test_another_seed_gives_other_images(made, tmp_path):
    other = generate_dataset(
        tmp_path / "data", workers=1, splits={"train": 1}, image_size=64, seed=4
    )
    name = "images/train/000000001.jpg"
    assert (other / name).read_bytes() != (made / name).read_bytes()


def test_index_masks(made, tmp_path):
    settings = _SMALL | {"splits": {"train": 2}}
    root = generate_dataset(
        tmp_path / "data", workers=1, annotation_format="index_png", color_masks=True, **settings
    )
    mask = cv2.imread(str(root / "annotations/train/000000001.png"), cv2.IMREAD_UNCHANGED)
    assert mask.dtype == np.uint8
    assert mask.shape == (64, 64)
    assert 1 <= mask.max() <= 13
    color = cv2.imread(str(root / "annotations/train/000000001_color.png"))
    assert np.array_equal(color.any(2), mask > 0)
    name = "images/train/000000001.jpg"
    assert (root / name).read_bytes() == (made / name).read_bytes()


def test_finished_data_set_is_left_alone_and_a_gap_is_filled(tmp_path):
    settings = {"splits": {"train": 3}, "image_size": 48, "workers": 1}
    root = generate_dataset(tmp_path / "data", **settings)
    before = _digests(root)
    missing = root / "annotations/train/000000002.json"
    missing.unlink()
    generate_dataset(root, **settings)
    assert not missing.exists()
    manifest = root / "synthetic.json"
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    generate_dataset(root, **settings)
    assert _digests(root) == before


def test_the_rest_of_an_interrupted_write_is_no_obstacle(tmp_path):
    root = tmp_path / "data"
    folder = root / "images" / "train"
    root.mkdir()
    (root / ".synthetic-123.json").write_text("{")
    generate_dataset(root, workers=1, splits={"train": 2}, image_size=48)
    (folder / ".000000001-123.jpg").write_bytes(b"half")
    dispatch(["prepare", "vehicleseg10k", "--root", str(root), "--splits", "train", "--strict"])
    contents = json.loads((root / "coco" / "instances_train.json").read_text())
    assert len(contents["images"]) == 2


def test_other_settings_or_other_files_are_never_overwritten(made, tmp_path):
    before = _digests(made)
    with pytest.raises(SAVError, match="another seed"):
        generate_dataset(made, workers=1, **(_SMALL | {"seed": 5}))
    assert _digests(made) == before
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(SAVError, match="not empty"):
        generate_dataset(tmp_path, **_SMALL)
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"annotation_format": "yolo"},
        {"ontology": "bicycle"},
        {"image_size": 4},
        {"seed": -1},
        {"splits": {"../up": 3}},
    ],
)
def test_wrong_settings_are_user_errors(tmp_path, wrong):
    with pytest.raises(SAVError):
        generate_dataset(tmp_path / "data", **(_SMALL | wrong))
    assert not (tmp_path / "data").exists()


def test_images_without_vehicles_become_records_without_parts(tmp_path):
    root = generate_dataset(tmp_path / "data", workers=1, **(_SMALL | {"bodies": []}))
    record = json.loads((root / "annotations" / "train" / "000000001.json").read_text())
    assert record["shapes"] == []
    dispatch(["prepare", "vehicleseg10k", "--root", str(root)])
    contents = json.loads((root / "coco" / "instances_train.json").read_text())
    assert len(contents["images"]) == 14
    assert contents["annotations"] == []


def test_contact_sheet(tmp_path):
    path = contact_sheet(tmp_path / "sheets" / "sheet.png", image_size=48, views=2)
    sheet = cv2.imread(str(path))
    assert sheet.shape == (7 * (32 + 96 + 8) - 8, 2 * 48 + 8, 3)
