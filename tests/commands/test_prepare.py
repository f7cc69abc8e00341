"""The converters' command lines."""

import argparse
import json

import pytest

from sav.commands import prepare
from sav.errors import SAVError
from tests.fixtures.vehicleseg_folder import box


def run(*arguments):
    parser = argparse.ArgumentParser()
    prepare.add_arguments(parser)
    prepare.run(parser.parse_args([str(argument) for argument in arguments]))


def images_of(path):
    return [image["file_name"] for image in json.loads(path.read_text())["images"]]


def test_vehicleseg10k_writes_into_its_root(folder, capsys):
    folder.add("1")
    folder.add("2", split="valid")
    folder.image("3", split="valid")
    run("vehicleseg10k", "--root", folder.root, "--foreground", "whole", "--workers", 1)
    assert images_of(folder.root / "coco" / "instances_valid.json") == ["2.jpg"]
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == ["train", "valid"]
    assert table[1].split() == ["images", "1", "1"]
    assert "skipped in valid: images/valid/3.jpg: the image has no annotation" in table


def test_foreground_is_what_other_parts_leave_whatever_the_way_in(folder, tmp_path):
    folder.add("1")
    options = ("--ontology", "vehicleseg10k", "--group-id", "vehicle", "--workers", 1)
    run("vehicleseg10k", "--root", folder.root, "--splits", "train", *options)
    for file in (folder.root / "annotations" / "train").iterdir():
        file.rename(folder.root / "images" / "train" / file.name)
    run("auto", "--data", folder.root / "images", "--out", tmp_path / "out", *options)
    files = (folder.root / "coco", tmp_path / "out")
    own, auto = (json.loads((file / "instances_train.json").read_text()) for file in files)
    assert auto["annotations"] == own["annotations"]


def test_own_ontology_and_own_coco_file(folder, tmp_path):
    """A new vocabulary is a new YAML file; a new data set is a COCO file."""
    part = "{id: %d, name: %s, description: part of a bicycle, color: [%d, 0, 0]}"
    lines = [part % (i, name, i) for i, name in enumerate(("frame", "wheel"))]
    ontology = tmp_path / "bicycle.yaml"
    ontology.write_text("name: bicycle\nclasses:\n" + "".join(f"  - {line}\n" for line in lines))
    for i in range(4):
        folder.image(i)
    flat = [value for point in box(1, 1, 9, 9) + box(20, 1, 29, 9) for value in point]
    contents = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 64, "height": 48} for i in range(4)],
        "categories": [{"id": 7, "name": "wheel"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7, "segmentation": [flat[:8], flat[8:]]}
        ],
    }
    (tmp_path / "mine.json").write_text(json.dumps(contents))
    out = tmp_path / "out"
    images = folder.root / "images" / "train"
    command = ["coco", "--json", tmp_path / "mine.json", "--images", images, "--out", out]
    run(*command, "--ontology", ontology, "--split-classes", "wheel", "--valid", 2, "--workers", 1)
    written = [out / f"instances_{split}.json" for split in ("train", "valid")]
    assert sorted(images_of(written[0]) + images_of(written[1])) == [f"{i}.jpg" for i in range(4)]
    annotations = [a for path in written for a in json.loads(path.read_text())["annotations"]]
    assert [a["category_id"] for a in annotations] == [2, 2]
    assert [a["bbox"] for a in annotations] == [[1, 1, 8, 8], [20, 1, 9, 8]]
    with pytest.raises(SAVError, match="no class 'tyre'"):
        run(*command, "--ontology", ontology, "--split-classes", "tyre")


@pytest.mark.parametrize(
    ("data_set", "options", "vehicles"),
    [("coco", [], 2), ("coco", ["--one-vehicle"], 1), ("dsmlr", [], 1)],
)
def test_parts_that_do_not_touch_are_of_one_vehicle_where_a_photo_shows_one(
    data_set, options, vehicles, folder, tmp_path
):
    """DSMLR annotates no fenders, sills or roofs: its wheels touch no door."""
    folder.image(0)
    images = folder.root / "images" / "train"
    flat = [value for point in box(1, 1, 9, 9) + box(20, 1, 29, 9) for value in point]
    source = {
        "images": [{"id": 0, "file_name": "0.jpg", "width": 64, "height": 48}],
        "categories": [{"id": 7, "name": "wheel"}, {"id": 8, "name": "hood"}],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 7, "segmentation": [flat[:8]]},
            {"id": 2, "image_id": 0, "category_id": 8, "segmentation": [flat[8:]]},
        ],
    }
    (tmp_path / "instances_train.json").write_text(json.dumps(source))
    (tmp_path / "JPEGImages").symlink_to(images)
    where = {
        "coco": ["--json", tmp_path / "instances_train.json", "--images", images],
        "dsmlr": ["--root", tmp_path, "--valid", 0],
    }[data_set]
    ontology = ["--ontology", "dsmlr"] if data_set == "coco" else []
    run(data_set, *where, *ontology, *options, "--out", tmp_path / "out", "--workers", 1)
    written = json.loads((tmp_path / "out" / "instances_train.json").read_text())
    assert len({part["vehicle_id"] for part in written["annotations"]}) == vehicles


def test_missing_folders_are_one_error(tmp_path):
    with pytest.raises(SAVError, match="there is no such image folder"):
        run("dsmlr", "--root", tmp_path, "--out", tmp_path / "out")
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(SAVError, match="there is no such annotation file"):
        run("dsmlr", "--root", tmp_path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_photos_without_a_vehicle_have_no_annotations(folder, tmp_path, capsys):
    images = folder.root / "images"
    for i in range(4):
        folder.image(i)
    (images / "train" / "notes.txt").write_text("not a photo")
    (images / "train" / "broken.jpg").write_bytes(b"no image")
    command = ["empty", "--images", images, "--out", tmp_path / "out", "--workers", 1]
    run(*command, "--valid", 1)
    written = [tmp_path / "out" / f"instances_{split}.json" for split in ("train", "valid")]
    names = sorted(images_of(written[0]) + images_of(written[1]))
    assert names == [f"train/{i}.jpg" for i in range(4)]
    assert "broken.jpg" in capsys.readouterr().out
    for path in written:
        contents = json.loads(path.read_text())
        assert contents["annotations"] == []
        assert contents["info"]["ontology"] == "vehicle"
    with pytest.raises(SAVError, match="broken"):
        run(*command, "--strict")
    with pytest.raises(SAVError, match="there is no such image folder"):
        run("empty", "--images", tmp_path / "none", "--out", tmp_path / "out")
    (tmp_path / "none").mkdir()
    with pytest.raises(SAVError, match="there is no image"):
        run("empty", "--images", tmp_path / "none", "--out", tmp_path / "out")
