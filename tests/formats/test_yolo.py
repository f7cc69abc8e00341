"""YOLO's segmentation labels as Ultralytics, Roboflow and CVAT lay them out."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from sav.cli import dispatch
from sav.errors import SAVError
from sav.formats.annotation_format import LabelledPhoto
from sav.formats.entries import ready
from sav.formats.labels import Labels
from sav.formats.outlines import join_polygons
from sav.formats.reading import Reading
from sav.formats.records import PartInstance
from sav.formats.registry import FORMATS, detect_format
from sav.ontology import load_ontology
from tests.formats.tools import DATA, SIZE, box, overlap, photo, read_all

TRIANGLE = "0.1 0.1 0.5 0.1 0.5 0.5"
SQUARE = "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"


def label(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def data_set(root, *lines, names=("door", "wheel"), **keys):
    """One photo in images/train with its labels, and a data.yaml."""
    photo(root / "images" / "train")
    label(root / "labels" / "train" / "car.txt", *lines)
    keys = {"train": "images/train", "val": "images/train", **keys}
    (root / "data.yaml").write_text(yaml.safe_dump({**keys, "names": list(names)}))
    return root


def read(root, **options):
    return read_all("yolo", root, **options)


@pytest.mark.parametrize("pattern", ["images/{}", "{}/images"], ids=["ultralytics", "roboflow"])
@pytest.mark.parametrize("described", [True, False], ids=["yaml", "folders"])
def test_carparts_seg_in_both_layouts(tmp_path, pattern, described, capsys):
    ontology = load_ontology("carparts_seg")
    folders = {"train": "train", "val": "valid", "test": "test"}
    root = tmp_path / "carparts-seg"
    for number, folder in enumerate(folders.values()):
        images = photo(root / pattern.format(folder), f"{folder}.jpg")
        labels = str(images).replace("images", "labels")
        label(type(root)(labels) / f"{folder}.txt", f"{1 + number} {SQUARE}", f"18 {TRIANGLE}")
    names = dict(enumerate(ontology.class_names))
    names[1] = "back_door,"  # as Ultralytics' own file has it
    # Roboflow's files start from a folder that is not there.
    keys = {key: f"../{pattern.format(folder)}" for key, folder in folders.items()}
    keys = {"path": "../datasets/carparts-seg", **keys} if described else {}
    (root / "data.yaml").write_text(yaml.safe_dump({**keys, "names": names, "nc": 23}))
    out = tmp_path / "out"
    command = ["prepare", "auto", "--data", str(root), "--ontology", "carparts_seg", "--strict"]
    dispatch([*command, "--out", str(out), "--workers", "1"])
    text = capsys.readouterr().out
    assert "read as YOLO segmentation" in text
    for number, split in enumerate(("train", "valid", "test")):
        contents = yaml.safe_load((out / f"instances_{split}.json").read_text())
        assert [image["file_name"].split("/")[-1] for image in contents["images"]] == [
            f"{split}.jpg"
        ]
        found = [annotation["category_id"] - 1 for annotation in contents["annotations"]]
        assert found == [1 + number, 18]
        assert contents["annotations"][0]["area"] == SIZE[0] * SIZE[1] // 4


def test_lists_of_photos_as_cvat_writes_them(tmp_path):
    root = data_set(tmp_path / "set", f"0 {SQUARE}", train="train.txt", val="val.txt", path=".")
    (root / "train.txt").write_text("data/images/train/car.jpg\n")
    (root / "val.txt").write_text("./images/train/lost.jpg\n")
    parts, problems = read(root)
    assert [one.label for one in parts["images/train/car.jpg"]] == ["door"]
    assert len(problems) == 1
    assert "./images/train/lost.jpg: there is no such image" in problems[0]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("0 0.5 0.5 0.2 0.2", "a box of class 'door', no mask"),
        ("0 0.5 0.5 0.2 0.2 0.9", "a box of class 'door'"),
        (f"2 {TRIANGLE}", "there is no class 2 among the 2 names"),
        (f"-1 {TRIANGLE}", "-1 is no number of a class"),
        (f"0.5 {TRIANGLE}", "0.5 is no number of a class"),
        (f"0 {TRIANGLE} 0.9", "an odd number of coordinates"),
        ("0 0.1 0.2 x 0.4 0.5 0.6", "no number"),
        ("0 0.1 0.2 nan 0.4 0.5 0.6", "not between 0 and 1"),
        ("0 1e300 0.2 0.3 0.4 0.5 0.6", "not between 0 and 1"),
        ("0 10 20 30 40 50 60", "not between 0 and 1"),
        ("0 0.1 0.1", "fewer than 3 points"),
        ("0 0.1 0.1 0.1 0.1 0.1 0.1", "no pixel of the photo"),
        (f"1 {SQUARE}", "the same as line 1"),
    ],
)
def test_a_line_that_cannot_be_used_is_a_problem_of_its_own(tmp_path, line, problem):
    parts, problems = read(data_set(tmp_path / "set", f"1 {SQUARE}", "", line))
    assert [one.label for one in parts["car.jpg"]] == ["wheel"]
    assert len(problems) == 1
    assert "labels/train/car.txt: line 3" in problems[0]
    assert problem in problems[0]


def test_a_photo_all_of_whose_lines_are_lost_is_left_out(tmp_path):
    parts, problems = read(data_set(tmp_path / "set", "0 0.5 0.5 0.2 0.2"))
    assert not parts
    assert "none of its 1 annotations can be used" in problems[-1]


def test_an_empty_file_says_that_there_is_nothing_and_no_file_says_nothing(tmp_path):
    root = data_set(tmp_path / "set", f"0 {SQUARE}")
    photo(root / "images" / "train", "empty.jpg")
    label(root / "labels" / "train" / "empty.txt", "", " ")
    photo(root / "images" / "train", "missing.jpg")
    label(root / "labels" / "train" / "orphan.txt", f"0 {SQUARE}")
    parts, problems = read(root)
    assert parts.keys() == {"car.jpg", "empty.jpg"}
    assert parts["empty.jpg"] == []
    assert [problem.split(": ", 1)[1] for problem in problems] == [
        "orphan.txt: there is no such image",
        "it has no label file; put an empty one there if the photo shows no part",
    ]


def test_confidences_are_scores_where_all_lines_have_one(tmp_path):
    parts, problems = read(data_set(tmp_path / "set", f"0 {TRIANGLE} 0.75", f"1 {SQUARE} 0.5"))
    assert not problems
    assert [one.score for one in parts["car.jpg"]] == [0.75, 0.5]


def test_a_part_without_a_score_beside_others_with_one_is_certain(tmp_path):
    folder = photo(tmp_path / "photos", "a.jpg")
    door = PartInstance.of_mask("door", box(5, 5, 20, 20))
    wheel = replace(PartInstance.of_mask("wheel", box(30, 30, 40, 40)), score=0.5)
    one = LabelledPhoto(folder / "a.jpg", "a.jpg", *SIZE, [door, wheel])
    FORMATS["yolo"].write(iter([one]), ["door", "wheel"], tmp_path / "out")
    parts, problems = read(tmp_path / "out")
    assert not problems
    assert [part.score for part in parts["a.jpg"]] == [1, 0.5]


def test_what_lies_outside_is_cut_off(tmp_path):
    line = "0 -0.01 -0.01 0.5 -0.01 0.5 1.01 -0.01 1.01"
    parts, problems = read(data_set(tmp_path / "set", line))
    assert not problems
    assert parts["car.jpg"][0].area == SIZE[0] * SIZE[1] // 2


def test_text_in_another_encoding_is_that_file_s_problem(tmp_path):
    root = data_set(tmp_path / "set", f"0 {SQUARE}")
    photo(root / "images" / "train", "b.jpg")
    (root / "labels" / "train" / "b.txt").write_bytes(f"0 {SQUARE}".encode("utf-16"))
    parts, problems = read(root)
    assert parts.keys() == {"car.jpg"}
    assert "not UTF-8" in problems[0]
    (root / "data.yaml").write_bytes(b"names: [d\xfcr]\ntrain: images/train\n")
    with pytest.raises(SAVError, match=r"data\.yaml: it is not UTF-8"):
        read(root)
    assert detect_format(root).name == "yolo"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("names: 3\ntrain: images/train", "names are neither a list nor a mapping"),
        ("names: {a: b}\ntrain: images/train", "names: 'a' has no number"),
        ("names: [[a]]\ntrain: images/train", "names: '0' has no number or no text"),
        ("names: [a, b]\nnc: 3\ntrain: images/train", "has 2 names, but says nc: 3"),
        ("names: [a", "data.yaml: not valid YAML: while parsing"),
        ("a: &a [x]\nb: &b [*a, *a]\nnames: [*b]\ntrain: x", "no text as a name"),
        ("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nnames: [a]\ntrain: x", "it has a merge key"),
        ("names: {0: a, 0: b}\ntrain: x", "a key is there twice"),
        ("names: [a]\nx: " + "[" * 3000, "nested too deeply"),
        ("names: [a]\nx: " + "y" * 2**20, "more than 1 MiB"),
    ],
)
def test_a_wrong_data_yaml_is_one_error(tmp_path, change, message):
    root = data_set(tmp_path / "set", f"0 {SQUARE}")
    (root / "data.yaml").write_text(change)
    with pytest.raises(SAVError, match=message):
        read(root)


def test_a_split_that_is_not_there_is_a_problem(tmp_path):
    root = data_set(tmp_path / "set", f"0 {SQUARE}", test="../test/images")
    parts, problems = read(root)
    assert parts.keys() == {"car.jpg"}
    assert "test: ../test/images: there is no such image, list or folder" in problems[0]
    form = FORMATS["yolo"]
    entries = ready(form, form.find(root, None), tmp_path / "pictures")
    assert {entry.split for entry in entries} == {"train"}


def test_without_names_numbers_are_classes_only_where_the_user_says_so(tmp_path):
    root = data_set(tmp_path / "set", f"1 {SQUARE}")
    (root / "data.yaml").unlink()
    parts, problems = read(root)
    assert not parts
    assert "class 1 has no name in the data" in problems[0]
    assert "--by-number" in problems[0]
    known = Labels(["door", "wheel"], "mine", by_number=True)
    parts, problems = read(root, reading=Reading(known))
    assert not problems
    assert [one.label for one in parts["train/car.jpg"]] == ["wheel"]
    (root / "classes.txt").write_text("hood\nroof\n")
    parts, _ = read(root)
    assert [one.label for one in parts["train/car.jpg"]] == ["roof"]


def test_predictions_of_ultralytics(tmp_path):
    data = DATA / "ultralytics"
    reading = Reading(Labels(["Foreground", "Wheel"], "mine", by_number=True))
    body = np.zeros(SIZE, dtype=bool)
    body[5:35, 5:50] = True
    wheels = np.zeros(SIZE, dtype=bool)
    wheels[30:44, 8:20] = wheels[30:44, 36:48] = True
    # The label beside its photo, and the photo elsewhere.
    for images in (None, photo(tmp_path / "photos", "a.jpg")):
        parts, problems = read(data, images=images, reading=reading)
        assert not problems
        first, second = parts["a.jpg"]
        assert (first.label, first.score) == ("Foreground", 0.91)
        assert (second.label, second.score) == ("Wheel", 0.75)
        assert overlap(first.mask, body) > 0.93
        assert overlap(second.mask, wheels) > 0.83


def test_bridges_between_pieces_leave_no_trace():
    rng = np.random.default_rng(0)
    pieces = [
        rng.uniform(0, 15, 2) + 25 * np.array([i % 3, i // 3]) + [[0, 0], [9, 1], [8, 9], [2, 7]]
        for i in range(9)
    ]
    ring = join_polygons(pieces)
    apart = draw([piece.ravel().tolist() for piece in pieces])
    assert apart.sum() > 300
    np.testing.assert_array_equal(draw([ring.ravel().tolist()]), apart)


def draw(polygons):
    codes = coco_mask.frPyObjects(polygons, 100, 100)
    return coco_mask.decode(coco_mask.merge(codes))


def test_two_photos_of_one_label_file_are_problems(tmp_path):
    root = data_set(tmp_path / "set", f"0 {SQUARE}")
    (first,) = (root / "images" / "train").iterdir()
    Image.open(first).save(first.with_suffix(".png"))
    parts, problems = read_all("yolo", root)
    assert not parts
    assert len(problems) == 2
    assert "is the label file of 2 photos" in problems[0]


def test_photos_of_one_name_in_several_folders_are_found_elsewhere(tmp_path):
    for day in ("monday", "tuesday"):
        photo(tmp_path / "photos" / day, "1.jpg")
        (tmp_path / "labels" / "train" / day).mkdir(parents=True)
        (tmp_path / "labels" / "train" / day / "1.txt").write_text(f"0 {SQUARE}\n")
    (tmp_path / "classes.txt").write_text("door\n")
    parts, problems = read_all("yolo", tmp_path, tmp_path / "photos")
    assert (set(parts), problems) == ({"monday/1.jpg", "tuesday/1.jpg"}, [])


def test_hidden_folders_and_other_files_are_not_read(tmp_path):
    root = data_set(tmp_path / "set", f"0 {SQUARE}")
    (root / "data.yaml").rename(root / "classes.txt")
    (root / "classes.txt").write_text("door\n")
    photo(root / ".cache" / "images", "b.jpg")
    (root / ".cache" / "labels").mkdir()
    parts, problems = read_all("yolo", root)
    assert (len(parts), problems) == (1, [])
    (root / "data.yaml").write_text("train: /etc/hostname\nnames: [door]\n")
    _, problems = read_all("yolo", root)
    (problem,) = problems
    assert "train: /etc/hostname: there is no such image, list or folder" in problem
