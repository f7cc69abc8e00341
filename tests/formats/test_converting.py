"""From any format to any other: nothing is lost unsaid, or written over."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from sav.errors import SAVError
from sav.formats.coco import COCO
from sav.formats.converting import convert
from sav.formats.folders import files_below
from sav.formats.label_maps import MASKS
from sav.formats.labelme import LABELME
from sav.formats.preparing import Preparation, prepare_parts
from sav.formats.reading import Reading
from sav.formats.registry import FORMATS, open_data
from sav.formats.yolo import YOLO
from sav.ontology import load_ontology

BOX = [4, 4, 24, 4, 24, 24, 4, 24]


def coco(folder, *names, image_root=None):
    """A COCO file of photos beside it, each of which has a wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (i, 0, 0)).save(folder / name)
        images.append({"id": i, "file_name": name, "width": 64, "height": 48})
        annotations.append({"id": i, "image_id": i, "category_id": 1, "segmentation": [BOX]})
    contents = {"images": images, "annotations": annotations}
    contents["categories"] = [{"id": 1, "name": "Wheel"}]
    (folder / "x.json").write_text(json.dumps(contents))


def to(form, data, out, capsys, **options):
    source, entries = open_data(data, None, None, out)
    convert(source, entries, Reading(), form, out, workers=1, **options)
    return capsys.readouterr().out


def test_coco_that_is_written_finds_its_photos_again(tmp_path, capsys):
    coco(tmp_path / "data", "a.jpg", "sub/b.jpg")
    to(COCO, tmp_path / "data", tmp_path / "out", capsys)
    contents = json.loads((tmp_path / "out" / "instances_train.json").read_text())
    assert contents["info"]["image_root"] == "../data"
    tmp_path.joinpath("moved").mkdir()
    for name in ("data", "out"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert "2 photos, 2 parts" in to(
        LABELME, tmp_path / "moved" / "out", tmp_path / "again", capsys
    )


def test_photos_of_one_name_in_several_folders_stay_apart(tmp_path, capsys):
    for folder in ("monday", "tuesday"):
        coco(tmp_path / "data" / folder, "0001.jpg")
    to(LABELME, tmp_path / "data", tmp_path / "out", capsys)
    records = files_below(tmp_path / "out", {".json"})
    assert [path.relative_to(tmp_path / "out").as_posix() for path in records] == [
        "train/monday/0001.json",
        "train/tuesday/0001.json",
    ]
    to(COCO, tmp_path / "data", tmp_path / "coco", capsys)
    contents = json.loads((tmp_path / "coco" / "instances_train.json").read_text())
    names = [image["file_name"] for image in contents["images"]]
    assert names == ["monday/0001.jpg", "tuesday/0001.jpg"]


def test_two_photos_that_would_be_one_file_are_an_error(tmp_path, capsys):
    coco(tmp_path / "data", "a.jpg", "a.png")
    for form in (LABELME, YOLO, MASKS):
        with pytest.raises(SAVError, match=r"a.jpg and a.png: both would be one file"):
            to(form, tmp_path / "data", tmp_path / "out", capsys)
    assert not (tmp_path / "out").exists()
    assert "2 photos" in to(COCO, tmp_path / "data", tmp_path / "out", capsys)


def test_a_photo_in_two_splits_is_in_none(tmp_path, capsys):
    coco(tmp_path / "data", "a.jpg", "b.jpg")
    contents = json.loads((tmp_path / "data" / "x.json").read_text())
    (tmp_path / "data" / "x.json").rename(tmp_path / "data" / "instances_train.json")
    contents["images"].pop()
    contents["annotations"].pop()
    (tmp_path / "data" / "instances_valid.json").write_text(json.dumps(contents))
    said = to(COCO, tmp_path / "data", tmp_path / "out", capsys)
    assert said.count("a.jpg: 2 records name it") == 2
    assert "1 photos, 1 parts" in said


@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.write])
def test_photos_of_one_name_in_two_splits_are_found_again(tmp_path, capsys, name):
    for split in ("train", "valid"):
        coco(tmp_path / "data" / split, "monday/1.jpg", "2.jpg")
        (tmp_path / "data" / split / "x.json").rename(
            tmp_path / "data" / split / f"instances_{split}.json"
        )
    to(FORMATS[name], tmp_path / "data", tmp_path / "out", capsys)
    images = None if name == "coco" else tmp_path / "data"
    source, entries = open_data(tmp_path / "out", images, None, tmp_path / "again")
    assert source.name == name
    assert {entry.split for entry in entries} == {"train", "valid"}
    assert len({entry.image for entry in entries if entry.image is not None}) == len(entries) == 4


def prepare(data, out, **options):
    form, entries = open_data(data, None, None, out)
    ontology = load_ontology("vehicleseg10k")
    prepare_parts(form, entries, Reading(), out, Preparation(ontology, workers=1, **options))


def test_files_of_others_are_not_written_over(tmp_path):
    coco(tmp_path / "data", "a.jpg")
    (tmp_path / "data" / "x.json").rename(tmp_path / "data" / "instances_train.json")
    other = tmp_path / "other" / "instances_train.json"
    other.parent.mkdir()
    other.write_text("{}")
    with pytest.raises(SAVError, match="is not of SAV"):
        prepare(tmp_path / "data", tmp_path / "other")
    assert other.read_text() == "{}"
    for _ in range(2):  # its own it does
        prepare(tmp_path / "data", tmp_path / "out")


@pytest.mark.parametrize("place", ["data/out", "data/sub/../out"])
def test_what_is_written_is_not_read_as_if_it_were_the_data(tmp_path, place):
    coco(tmp_path / "data", "a.jpg")
    (tmp_path / "data" / "sub").mkdir()
    prepare(tmp_path / "data", tmp_path / place)
    for out in (place, "data"):
        with pytest.raises(SAVError, match="choose an output elsewhere"):
            prepare(tmp_path / "data", tmp_path / out)


def test_files_of_an_earlier_preparation_are_named(tmp_path, capsys):
    coco(tmp_path / "data", "a.jpg", "b.jpg")
    prepare(tmp_path / "data", tmp_path / "out", valid=1)
    assert "left as before" not in capsys.readouterr().out
    prepare(tmp_path / "data", tmp_path / "out")  # train has the photo of valid now
    assert "left as before: instances_valid.json" in capsys.readouterr().out


def test_an_archive_is_prepared_twice_and_archives_in_it_are_named(tmp_path, capsys):
    coco(tmp_path / "data", "a.jpg")
    archive = shutil.make_archive(tmp_path / "packed", "zip", tmp_path / "data")
    for _ in range(2):
        prepare(Path(archive), tmp_path / "out")
        assert "images" in capsys.readouterr().out
    (tmp_path / "outer").mkdir()
    shutil.move(archive, tmp_path / "outer" / "inner.zip")
    outer = shutil.make_archive(tmp_path / "outer", "tar", tmp_path / "outer")
    with pytest.raises(SAVError, match=r"it holds an archive, inner\.zip: unpack that"):
        prepare(Path(outer), tmp_path / "out2")


def test_names_are_chosen_for_validation_with_their_folders(tmp_path):
    for folder in ("monday", "tuesday"):
        coco(tmp_path / "data" / folder, "1.jpg", "2.jpg")
    prepare(tmp_path / "data", tmp_path / "out", valid=1)
    counts = [
        len(json.loads((tmp_path / "out" / f"instances_{split}.json").read_text())["images"])
        for split in ("train", "valid")
    ]
    assert counts == [3, 1]


def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "loop").symlink_to("loop")
    for data in (tmp_path / "pipe.json", tmp_path / "loop", Path(os.devnull)):
        with pytest.raises(SAVError, match="there is no such file or folder"):
            open_data(data, None, None, tmp_path / "out")


def test_folders_are_read_once_whatever_links_there_are(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "data" / ".hidden").mkdir(parents=True)
    for path in ("far/a.json", "data/b.JSON", "data/.hidden/c.json", "data/.d.json", "data/e.txt"):
        (tmp_path / path).write_text("{}")
    (tmp_path / "data" / "f.json").mkdir()
    os.mkfifo(tmp_path / "data" / "g.json")
    (tmp_path / "data" / "far").symlink_to("../far")
    (tmp_path / "far" / "back").symlink_to("../data")
    (tmp_path / "data" / "lost.json").symlink_to("nowhere.json")
    found = files_below(tmp_path / "data", {".json"})
    names = [path.relative_to(tmp_path / "data").as_posix() for path in found]
    assert names == ["b.JSON", "far/a.json", "lost.json"]
    with pytest.raises(SAVError, match="cannot be read"):
        files_below(Path(tmp_path, "gone"), {".json"})


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_what_xml_cannot_hold_is_said(tmp_path, name):
    with pytest.raises(SAVError, match="a character that XML cannot hold"):
        FORMATS[name].write(iter(()), ["door\x01"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_photos_without_annotations_are_counted(tmp_path, capsys):
    coco(tmp_path / "data", "a.jpg", "b.jpg")
    contents = json.loads((tmp_path / "data" / "x.json").read_text())
    contents["annotations"].pop()
    (tmp_path / "data" / "x.json").write_text(json.dumps(contents))
    said = to(COCO, tmp_path / "data", tmp_path / "out", capsys)
    assert "photos annotated as without any part: 1" in said
