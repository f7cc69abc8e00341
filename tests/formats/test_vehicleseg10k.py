"""LabelMe folders become part annotations, and bad records are named."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from sav.errors import SAVError
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import load_ontology
from tests.fixtures.vehicleseg_folder import CAR, SIZE, box, shape

ONTOLOGY = load_ontology("vehicleseg10k")


def convert(folder, *, foreground="rest", splits=("train",), **options):
    out = folder.root / "coco"
    source = VehicleSegSource(folder.root, ONTOLOGY, foreground)
    convert_vehicleseg10k(source, out, splits=splits, **{"workers": 1, **options})
    return out


def load(out, split="train"):
    """pycocotools' own view: {class name: [(mask, annotation), ...]} of the first image."""
    coco = COCO(str(out / f"instances_{split}.json"))
    found = {}
    for annotation in coco.loadAnns(coco.getAnnIds(coco.getImgIds()[:1])):
        name = coco.cats[annotation["category_id"]]["name"]
        found.setdefault(name, []).append((coco.annToMask(annotation), annotation))
    return found


def report(out, split="train"):
    return json.loads((out / f"report_{split}.json").read_text())


def rectangle(x0, y0, x1, y1):
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[y0:y1, x0:x1] = 1
    return mask


def test_round_trip_through_pycocotools(folder):
    folder.add("000000001")
    out = convert(folder)
    parts = load(out)
    window = rectangle(22, 10, 38, 18)
    door = rectangle(20, 10, 40, 30) - window
    wheels = [rectangle(12, 34, 20, 44), rectangle(44, 34, 52, 44)]
    body = rectangle(10, 5, 60, 40) & ~(door | window | wheels[0] | wheels[1])
    expected = {
        "Left front window": [window],
        "Left front door": [door],
        "Wheel": wheels,
        "Foreground": [body],
    }
    assert parts.keys() == expected.keys()
    for name, masks in expected.items():
        for (mask, annotation), truth in zip(parts[name], masks, strict=True):
            np.testing.assert_array_equal(mask, truth)
            assert annotation["area"] == truth.sum()
            rows, columns = np.nonzero(truth)
            x, y, w, h = annotation["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
            assert annotation["vehicle_id"] == 0
            assert isinstance(annotation["segmentation"]["counts"], str)
    contents = json.loads((out / "instances_train.json").read_text())
    assert contents["info"] == {"ontology": "vehicleseg10k", "image_root": "../images/train"}
    assert [c["name"] for c in contents["categories"]] == ONTOLOGY.class_names
    assert [c["id"] for c in contents["categories"]] == list(range(1, 14))
    assert (out / contents["info"]["image_root"] / contents["images"][0]["file_name"]).is_file()
    assert report(out)["instances_per_class"]["Wheel"] == 2
    assert report(out)["skipped"] == []


def test_whole_foreground_keeps_the_full_outline(folder):
    folder.add("1")
    parts = load(convert(folder, foreground="whole"))
    np.testing.assert_array_equal(parts["Foreground"][0][0], rectangle(10, 5, 60, 40))
    assert parts["Left front door"][0][1]["area"] == 20 * 20 - 16 * 8


def test_pieces_with_one_description_are_one_instance(folder):
    pieces = [box(x, 0, x + 8, 8) for x in range(0, 60, 10)]
    folder.add(
        "1",
        [
            shape("Left front door", pieces[0], 3, description="instance 7"),
            shape("Left front door", pieces[1], 3, description="instance 7"),
            shape("Wheel", pieces[2], 3),
            shape("Wheel", pieces[3], 3),
            shape("Plate", pieces[4], 3, description="dirty"),
            shape("Plate", pieces[5], 4, description="dirty"),
        ],
    )
    parts = load(convert(folder))
    assert [annotation["area"] for _, annotation in parts["Left front door"]] == [128]
    assert [annotation["area"] for _, annotation in parts["Wheel"]] == [64, 64]
    assert [annotation["vehicle_id"] for _, annotation in parts["Plate"]] == [3, 4]


def test_parts_go_to_the_vehicle_that_covers_them(folder):
    folder.add(
        "1",
        [
            shape("Wheel", box(40, 20, 46, 26)),
            shape("Foreground", box(0, 0, 30, 30)),
            shape("Foreground", box(32, 0, 62, 30)),
            shape("Plate", box(5, 5, 12, 9)),
        ],
    )
    parts = load(convert(folder))
    bodies = [annotation["vehicle_id"] for _, annotation in parts["Foreground"]]
    assert bodies == [0, 1]
    assert parts["Wheel"][0][1]["vehicle_id"] == 1
    assert parts["Plate"][0][1]["vehicle_id"] == 0


def test_harmless_oddities_are_counted(folder):
    folder.add(
        "1",
        [
            shape("Foregroud", box(-5, 5, 70, 40)),
            shape("Others", box(0, 0, 4, 4)),
            shape("Wheel", [[10, 10], [20, 20]], shape_type="rectangle"),
            shape("Left front door", box(10, 10, 20, 20.6)),
            shape("Left front window", box(10, 10, 20, 20.6)),
        ],
    )
    out = convert(folder, strict=True)
    parts = load(out)
    np.testing.assert_array_equal(parts["Wheel"][0][0], rectangle(10, 10, 20, 20))
    assert "Left front door" not in parts
    notes = report(out)["notes"]
    assert notes["label 'Foregroud' read as 'Foreground'"] == 1
    assert notes["label 'Others' ignored"] == 1
    assert notes["shapes under 4 visible pixels dropped"] == 1


@pytest.mark.parametrize(
    ("bad", "record", "reason"),
    [
        (shape("Spoiler", box(0, 0, 9, 9)), "shape 1 (Spoiler)", "not in the ontology"),
        (shape("Wheel", [[0, 0], [5, 5]]), "shape 1 (Wheel)", "2 points"),
        (shape("Wheel", [[0, 0], [5, float("nan")], [9, 0]]), "shape 1 (Wheel)", "not a number"),
        (shape("Wheel", [[0, 0], [5]]), "shape 1 (Wheel)", "pair"),
        (shape("Wheel", box(0, 0, 9, 9), "one"), "shape 1 (Wheel)", "group_id"),
        (shape("Wheel", [[0, 0], [5, 5]], shape_type="line"), "shape 1 (Wheel)", "'line' are not"),
        ("text", "shape 1", "no label"),
    ],
)
def test_bad_shapes_are_skipped_and_named(folder, bad, record, reason):
    folder.add("1", [CAR[1], bad])
    out = convert(folder)
    (entry,) = report(out)["skipped"]
    assert entry["file"] == "annotations/train/1.json"
    assert entry["record"] == record
    assert reason in entry["reason"]
    assert list(load(out)) == ["Foreground"]
    with pytest.raises(SAVError, match=r"annotations/train/1\.json: shape 1"):
        convert(folder, strict=True)


def break_json(folder):
    folder.labelme("2", CAR).write_text('{"shapes": [')
    folder.image("2")
    return "annotations/train/2.json", "not valid JSON"


def break_image(folder):
    folder.add("2")
    path = folder.root / "images/train/2.jpg"
    path.write_bytes(path.read_bytes()[:1500])
    return "images/train/2.jpg", "cannot be read"


def change_size(folder):
    folder.add("2")
    folder.image("2", size=(30, 30))
    return "annotations/train/2.json", "64x48 pixels, but the image is 30x30"


def lose_image(folder):
    folder.labelme("2", CAR)
    return "annotations/train/2.json", "no image"


def lose_annotation(folder):
    folder.image("2")
    return "images/train/2.jpg", "no annotation"


def no_shapes(folder):
    folder.add("2")
    (folder.root / "annotations/train/2.json").write_text("[1]")
    return "annotations/train/2.json", "not a LabelMe file"


def wrong_mask_size(folder):
    folder.image("2")
    folder.mask("2", np.ones((9, 9), np.uint8))
    return "annotations/train/2.png", "the mask is 9x9"


def wrong_mask_value(folder):
    folder.image("2")
    folder.mask("2", np.full(SIZE, 200, np.uint8))
    return "annotations/train/2.png", "the mask holds 200"


@pytest.mark.parametrize(
    "spoil",
    [
        break_json,
        break_image,
        change_size,
        lose_image,
        lose_annotation,
        no_shapes,
        wrong_mask_size,
        wrong_mask_value,
    ],
)
def test_bad_images_are_skipped_and_named(folder, spoil):
    folder.add("1")
    folder.add("3")
    file, reason = spoil(folder)
    with pytest.raises(SAVError, match=file):
        convert(folder, strict=True)
    assert not (folder.root / "coco").exists()
    out = convert(folder)
    (entry,) = report(out)["skipped"]
    assert entry["file"] == file
    assert reason in entry["reason"]
    assert report(out)["images"] == 2
    names = [
        i["file_name"] for i in json.loads((out / "instances_train.json").read_text())["images"]
    ]
    assert names == ["1.jpg", "3.jpg"]


def test_exif_rotated_photos_have_the_size_that_labelme_saw(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder.image("1", size=(SIZE[1], SIZE[0]), exif=exif)
    folder.labelme("1", CAR)
    out = convert(folder, strict=True)
    image = json.loads((out / "instances_train.json").read_text())["images"][0]
    assert (image["height"], image["width"]) == SIZE


def test_same_bytes_for_any_number_of_workers_and_untouched_when_repeated(folder):
    for i in range(40):
        folder.add(f"{i:03d}", CAR[: 1 + i % 5], split="train" if i < 36 else "valid")
    out = convert(folder, splits=("train", "valid"))
    files = {path: path.read_bytes() for path in sorted(out.iterdir())}
    times = {path: path.stat().st_mtime_ns for path in files}
    convert(folder, splits=("train", "valid"), workers=2)
    assert {path: path.read_bytes() for path in sorted(out.iterdir())} == files
    assert {path: path.stat().st_mtime_ns for path in files} == times
    assert [path.name for path in files] == [
        "instances_train.json",
        "instances_valid.json",
        "report_train.json",
        "report_valid.json",
    ]


def test_nothing_is_written_when_one_split_fails(folder):
    folder.add("1")
    with pytest.raises(SAVError, match="valid"):
        convert(folder, splits=("train", "valid"))
    (folder.root / "images/valid").mkdir()
    with pytest.raises(SAVError, match="holds no file"):
        convert(folder, splits=("train", "valid"))
    folder.image("2", split="valid")
    folder.labelme("3", CAR, split="valid")
    with pytest.raises(SAVError, match=r"no usable image for split 'valid'.*2\.jpg"):
        convert(folder, splits=("train", "valid"))
    assert not (folder.root / "coco").exists()


def test_the_script_prints_a_table_or_one_line(folder):
    repository = Path(__file__).parents[2]
    script = repository / "datasets" / "prepare_vehicleseg10k.py"
    environment = {**os.environ, "PYTHONPATH": str(repository)}

    def run(*arguments):
        command = [sys.executable, str(script), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    failed = run("--root", folder.root)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"error: {folder.root}/images/train: there is no such folder")
    assert failed.stderr.count("\n") == 1
    folder.add("1")
    done = run("--root", folder.root, "--splits", "train")
    assert done.returncode == 0, done.stderr
    assert "  Wheel" in done.stdout
