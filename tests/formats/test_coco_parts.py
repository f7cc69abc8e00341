"""COCO files of any source, DSMLR's among them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from sav.errors import SAVError
from sav.formats.coco import COCO as COCO_FORMAT
from sav.formats.coco import find_in_file
from sav.formats.image_names import ImageFolder
from sav.formats.labels import Labels
from sav.formats.preparing import Preparation, prepare_parts
from sav.formats.reading import Reading
from sav.formats.records import PartInstance
from sav.formats.splits import choose_valid
from sav.formats.vehicles import assign_vehicles
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("dsmlr")
NAMES = ["_background_", *ONTOLOGY.class_names]


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


@pytest.fixture
def source(tmp_path):
    images = tmp_path / "JPEGImages"
    images.mkdir()
    annotations = []

    def add(image_id, name, segmentation):
        category = NAMES.index(name) + 1
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": category,
                "segmentation": segmentation,
            }
        )

    for i in range(1, 9):
        Image.new("RGB", (40, 32), (i, 0, 0)).save(images / f"train{i}.jpg")
        add(i, "hood", [square(2, 2, 10)])
    add(1, "wheel", [square(5, 20, 8), square(20, 20, 8), square(30, 1, 1)])
    add(1, "back_glass", [square(15, 2, 4), square(22, 2, 4)])
    code = coco_mask.encode(np.asfortranarray(np.eye(32, 40, dtype=np.uint8)))
    add(2, "tailgate", {"size": code["size"], "counts": code["counts"].decode()})
    add(2, "trunk", {"size": [32, 40], "counts": [0, 32, 32 * 39]})
    add(2, "_background_", [square(0, 0, 5)])
    contents = {
        "images": [
            {"id": i, "file_name": f"train{i}.jpg", "width": 40, "height": 32} for i in range(1, 9)
        ],
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)],
        "annotations": annotations,
    }
    (tmp_path / "all.json").write_text(json.dumps(contents))
    return tmp_path / "all.json"


def edit(source, change):
    contents = json.loads(source.read_text())
    change(contents)
    source.write_text(json.dumps(contents))


def convert(source, out, **options):
    labels = Labels(ONTOLOGY.class_names, "dsmlr", ignore=frozenset({"_background_"}))
    entries = find_in_file(source, ImageFolder(source.parent / "JPEGImages"))
    options = Preparation(ONTOLOGY, **{"workers": 1, **options})
    prepare_parts(COCO_FORMAT, entries, Reading(labels, frozenset({"wheel"})), out, options)


def test_wheels_are_split_and_other_parts_stay_whole(source, tmp_path):
    convert(source, tmp_path / "out", strict=True)
    coco = COCO(str(tmp_path / "out" / "instances_train.json"))
    areas = {}
    for annotation in coco.anns.values():
        name = coco.cats[annotation["category_id"]]["name"]
        assert coco.annToMask(annotation).sum() == annotation["area"]
        areas.setdefault(name, []).append(annotation["area"])
    assert areas == {
        "hood": [100] * 8,
        "wheel": [64, 64],
        "back_glass": [32],
        "tailgate": [32],
        "trunk": [32],
    }
    assert [c["name"] for c in coco.dataset["categories"]] == ONTOLOGY.class_names
    assert not (tmp_path / "out" / "instances_valid.json").exists()
    report = json.loads((tmp_path / "out" / "report_train.json").read_text())
    assert report["notes"] == {
        "label '_background_' ignored": 1,
        "instances split off by polygon": 2,
        "instances under 4 pixels dropped": 1,
    }


def test_split_depends_on_the_seed_alone(source, tmp_path):
    def names(out, **options):
        convert(source, tmp_path / out, **options)
        files = [tmp_path / out / f"instances_{split}.json" for split in ("train", "valid")]
        return [{i["file_name"] for i in json.loads(f.read_text())["images"]} for f in files]

    train, valid = names("a", valid=3)
    assert len(train) == 5
    assert len(valid) == 3
    assert not train & valid
    edit(source, lambda contents: contents["images"].reverse())
    assert names("b", valid=3) == [train, valid]
    assert any(names(f"c{seed}", valid=3, seed=seed) != [train, valid] for seed in (1, 2, 3))


def test_photos_of_one_vehicle_are_grouped_by_field_or_folder(source, tmp_path):
    images = source.parent / "JPEGImages"
    folder = images / "car 5"
    folder.mkdir()
    for i in (1, 2):
        (images / f"train{i}.jpg").rename(folder / f"train{i}.jpg")

    def move(contents):
        for image in contents["images"][:2]:
            image["file_name"] = f"car 5/{image['file_name']}"
        contents["images"][1]["group"] = 77

    edit(source, move)

    def groups(out, **options):
        convert(source, tmp_path / out, strict=True, **options)
        images = json.loads((tmp_path / out / "instances_train.json").read_text())["images"]
        named = {Path(image["file_name"]).name: image.get("group") for image in images}
        assert list(named.values()).count(None) == 8 - len(set(named.values()) - {None})
        return named

    assert groups("a")["train2.jpg"] == "77"
    by_folder = groups("b", group_by_folder=True)
    assert by_folder["train1.jpg"] == "JPEGImages/car 5"
    assert by_folder["train2.jpg"] == "77"


def test_bad_annotations_are_named(source, tmp_path):
    def spoil(contents):
        contents["annotations"][0]["segmentation"] = [[1, 2, 3, 4]]
        contents["annotations"][1]["segmentation"] = [[1, 2, 3, float("nan"), 5, 6]]
        contents["annotations"][2]["image_id"] = 77
        contents["annotations"][3]["category_id"] = 99
        contents["annotations"][4]["segmentation"] = {"size": [9, 9], "counts": [81]}
        contents["images"][7]["width"] = 41

    edit(source, spoil)
    convert(source, tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report_train.json").read_text())
    reasons = [f"{p['record']}: {p['reason']}" for p in report["skipped"]]
    lost = "left out, because none of its 1 annotations can be used"
    stated = "it was annotated on 41x32 pixels, but the image is 40x32"
    assert reasons == [
        "annotation 1 of train1.jpg (hood): a polygon has fewer than 3 points",
        "annotation 2 of train2.jpg (hood): a polygon has a coordinate that is not a number, or "
        "far from any photo",
        ": train3.jpg: it has no annotations, and 1 of the file have no image",
        "annotation 4 of train4.jpg: there is no category 99",
        f"train4.jpg: {lost}",
        "annotation 5 of train5.jpg (hood): the segmentation is 9x9, but the image is 40x32",
        f"train5.jpg: {lost}",
        f"train8.jpg: {stated}",
        ": annotation 3: there is no image 77",
    ]
    with pytest.raises(SAVError, match="annotation 1 of train1"):
        convert(source, tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["images"][1].update(id=1), "image id 1 is used by train1.jpg and train2.jpg"),
        (lambda c: c["categories"][1].update(id=1), "category id 1 is used by '_background_' and"),
        (lambda c: c["annotations"][1].update(id=1), "two annotations have the id 1"),
        (lambda c: c.pop("images"), "no list 'images'"),
        (lambda c: c["annotations"][0].update(segments_info=[]), "panoptic annotations"),
        (lambda c: c["images"].append(dict(c["images"][0], id=99)), "listed 2 times"),
    ],
)
def test_unusable_files_are_one_error(source, tmp_path, change, message):
    edit(source, change)
    with pytest.raises(SAVError, match=message):
        convert(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_vehicle_is_in_both_training_and_validation():
    group_of = {f"{i}.jpg": f"car {i // 4}" if i < 16 else None for i in range(23)}

    def is_whole(held_out):
        return all(
            sum(f"{i}.jpg" in held_out for i in range(4 * car, 4 * car + 4)) in (0, 4)
            for car in range(4)
        )

    assert choose_valid(group_of, 9, seed=1) != choose_valid(group_of, 9)
    for valid in range(1, 20):
        held_out = choose_valid(group_of, valid)
        assert is_whole(held_out)
        assert valid <= len(held_out) < valid + 4
    with pytest.raises(SAVError, match="--valid 23: there are 23 images of 11 vehicles"):
        choose_valid(group_of, 23)


def test_without_vehicle_ids_touching_parts_are_one_vehicle():
    masks = np.zeros((4, 40, 100), dtype=bool)
    masks[0, 10:30, 5:40] = masks[1, 20:30, 40:44] = True  # a body and what touches it
    masks[2, 10:30, 60:95] = True
    masks[3, 2:4, 41:43] = True  # too small for a vehicle, nearer to the first
    shapes = [PartInstance.of_mask(str(i), mask) for i, mask in enumerate(masks)]
    assert [part.vehicle_id for part in assign_vehicles(shapes, ())] == [0, 0, 1, 0]
    named = [replace(shape, vehicle_id=3) for shape in shapes]
    assert assign_vehicles(named, ()) == named
