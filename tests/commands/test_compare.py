"""Predictions of other models are read, matched by photo and compared."""

import argparse
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sav.commands import compare
from sav.errors import SAVError
from sav.evaluation.comparison import match_names
from sav.formats.masks import encode_mask

SIZE = (60, 80)
CLASSES = ["frame", "wheel"]


def run(*arguments):
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    compare.run(parser.parse_args([str(argument) for argument in arguments]))


def square(x, y, side):
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[y : y + side, x : x + side] = 1
    return mask


MASKS = {"frame": square(5, 5, 30), "wheel": square(45, 20, 20)}


@pytest.fixture
def data(tmp_path):
    """Four photos of a bicycle, each with a frame and a wheel, as COCO instances."""
    part = "{id: %d, name: %s, description: part of a bicycle, color: [%d, 0, 0]}"
    lines = [part % (i, name, i) for i, name in enumerate(CLASSES)]
    ontology = tmp_path / "bicycle.yaml"
    ontology.write_text("name: bicycle\nclasses:\n" + "".join(f"  - {line}\n" for line in lines))
    images, annotations = [], []
    for i in range(1, 5):
        Image.new("RGB", SIZE[::-1], (i, 0, 0)).save(tmp_path / f"{i}.jpg")
        images.append({"id": i, "file_name": f"{i}.jpg", "width": SIZE[1], "height": SIZE[0]})
        for category, name in enumerate(CLASSES, start=1):
            part = {"segmentation": encode_mask(MASKS[name]), "category_id": category}
            annotations.append({"id": len(annotations) + 1, "image_id": i, **part})
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(contents))
    return tmp_path


def results(masks, images=(1, 2, 3, 4)):
    """COCO results."""
    return [
        {
            "image_id": i,
            "category_id": CLASSES.index(name) + 1,
            "segmentation": encode_mask(mask),
            "score": 0.9,
        }
        for i in images
        for name, mask in masks.items()
    ]


def compared(data, *predictions, **options):
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    ontology = ["--ontology", data / "bicycle.yaml", "--output", data / "out"]
    run(data / "truth.json", *predictions, *ontology, *words)
    models = json.loads((data / "out" / "results.json").read_text())["models"]
    return {name: one["figures"] for name, one in models.items()}, models


def test_coco_results_are_compared_with_intervals(data, capsys):
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    (data / "half.json").write_text(json.dumps(results(MASKS, images=(1, 2))))
    figures, models = compared(data, data / "all.json", f"some={data / 'half.json'}", draws=50)
    assert figures["all"]["mIoU"] == figures["all"]["mask AP"] == 100
    assert figures["some"]["IoU-wheel"] == 50
    # All detections are right, and recall ends at a half: 51 of COCO's 101 places.
    assert figures["some"]["AP-wheel"] == pytest.approx(100 * 51 / 101, abs=1e-3)
    low, high = models["some"]["intervals"]["mIoU"]
    assert low < 50 < high
    assert models["all"]["intervals"]["mIoU"] == [100, 100]
    table = capsys.readouterr().out
    assert "some: predictions for 2 of 4 photos" in table
    assert "Δ: difference to 'all'" in table


def test_any_format_with_scores_is_a_prediction(data):
    """What `sav predict --format json` writes; the photos need not be there."""
    folder = data / "predictions"
    folder.mkdir()
    for i in range(1, 5):
        parts = [
            {"name": name, "score": score, "mask": encode_mask(mask)}
            for name, mask, score in (
                ("frame", MASKS["frame"], 0.9),
                ("wheel", MASKS["wheel"], 0.1),
            )
        ]
        contents = {"file": f"elsewhere/{i}.jpg", "width": SIZE[1], "height": SIZE[0]}
        contents |= {"ontology": "bicycle", "parts": parts}
        (folder / f"{i}.json").write_text(json.dumps(contents))
    figures, _ = compared(data, folder, draws=0)
    assert figures["predictions"]["mask AP"] == 100
    # A wheel of such a score is not shown, and so not in the label map.
    assert figures["predictions"]["IoU-frame"] == 100
    assert figures["predictions"]["IoU-wheel"] == 0


def test_what_cannot_be_read_is_said(data, capsys):
    bad = results(MASKS)
    bad[0]["segmentation"] = {"size": [9, 9], "counts": [81]}
    bad[1]["category_id"] = 7
    (data / "bad.json").write_text(json.dumps(bad))
    figures, _ = compared(data, data / "bad.json", draws=0)
    assert figures["bad"]["IoU-frame"] == 75
    printed = capsys.readouterr().out
    assert "detection 0 (frame): the segmentation is 9x9, but the image is 80x60" in printed
    assert "detection 1: there is no category 7" in printed


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (["none.json"], "none.json: there is no such file"),
        (["all.json", "x/../all.json"], "two predictions are called all"),
        (["strange.json"], "truth.json has no image 99"),
        (["no_ids.json"], "detection 0: it has no 'image_id'"),
    ],
)
def test_unusable_predictions_are_one_error(data, predictions, message):
    (data / "x").mkdir()
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    (data / "strange.json").write_text(json.dumps(results(MASKS, images=(99,))))
    (data / "no_ids.json").write_text(json.dumps([{"score": 1}]))
    with pytest.raises(SAVError, match=message):
        compared(data, *(data / name for name in predictions))


def test_a_truth_that_does_not_say_its_classes_needs_an_ontology(data):
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    with pytest.raises(SAVError, match="--ontology"):
        run(data / "truth.json", data / "all.json", "--output", data / "out")


@pytest.mark.parametrize("number", [str, float])
def test_ids_of_results_are_those_of_the_truth_however_they_are_written(data, number):
    found = [{**one, "image_id": number(one["image_id"])} for one in results(MASKS)]
    (data / "all.json").write_bytes(json.dumps(found).encode("utf-16"))
    figures, _ = compared(data, data / "all.json", draws=0)
    assert figures["all"]["mask AP"] == 100


def test_results_are_compared_with_a_folder_or_an_archive_twice(data):
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    folder = data / "photos"
    folder.mkdir()
    for path in (*data.glob("*.jpg"), data / "truth.json"):
        path.rename(folder / path.name)
    packed = shutil.make_archive(data / "packed", "zip", folder)
    options = ["--ontology", data / "bicycle.yaml", "--draws", 0, "--output", data / "out"]
    for truth in (folder, packed, packed):
        run(truth, data / "all.json", *options)
    Image.new("RGB", SIZE[::-1]).save(folder / "9.jpg")
    image = {"id": 1, "file_name": "9.jpg", "width": SIZE[1], "height": SIZE[0]}
    contents = {"images": [image], "annotations": [], "categories": []}
    (folder / "other.json").write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="whose ids they have"):
        run(folder, data / "all.json", *options)


def test_tasks_of_label_studio_are_predictions_too(data):
    value = {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["frame"]}
    task = {"data": {"image": "1.jpg"}, "predictions": [{"result": [{"id": "a", "value": value}]}]}
    (data / "tasks.json").write_text(json.dumps([task]))
    figures, _ = compared(data, data / "tasks.json", draws=0)
    assert figures["tasks"]["IoU-frame"] > 0


def test_predictions_of_other_photos_are_an_error(data):
    contents = json.loads((data / "truth.json").read_text())
    (data / "other").mkdir()
    Image.new("RGB", SIZE[::-1]).save(data / "other" / "9.jpg")
    contents["images"] = [{**contents["images"][0], "file_name": "9.jpg"}]
    contents["annotations"] = contents["annotations"][:2]
    (data / "other" / "x.json").write_text(json.dumps(contents))
    with pytest.raises(SAVError, match=r"none of its photos, such as other/9.jpg, is one of"):
        compared(data, data / "other" / "x.json")


@pytest.fixture
def folders(data):
    """The same photos as a/1.jpg, a/2.jpg, b/1.jpg and b/2.jpg."""
    contents = json.loads((data / "truth.json").read_text())
    names = ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg")
    for image, name in zip(contents["images"], names, strict=True):
        (data / name).parent.mkdir(exist_ok=True)
        (data / image["file_name"]).rename(data / name)
        image["file_name"] = name
    (data / "truth.json").write_text(json.dumps(contents))
    return data


def write_predictions(folder, *photos):
    """What `sav predict --format json` writes."""
    folder.mkdir()
    parts = [{"name": name, "mask": encode_mask(mask)} for name, mask in MASKS.items()]
    for i, photo in enumerate(photos):
        contents = {"file": photo, "width": SIZE[1], "height": SIZE[0], "ontology": "bicycle"}
        (folder / f"{i}.json").write_text(json.dumps({**contents, "parts": parts}))


def test_photos_of_one_name_are_matched_by_their_folders(folders, capsys):
    (folders / "all.json").write_text(json.dumps(results(MASKS)))
    write_predictions(folders / "some", "a/1.jpg", "b/1.jpg", "c/1.jpg")
    figures, _ = compared(folders, folders / "all.json", folders / "some", draws=0)
    assert figures["all"]["mask AP"] == 100
    assert figures["some"]["IoU-frame"] == 50
    said = "predictions for 2 of 4 photos, and for 1 that the truth does not have, such as c/1.jpg"
    assert f"some: {said}" in capsys.readouterr().out


def test_a_name_that_several_photos_have_matches_none(folders):
    write_predictions(folders / "some", "1.jpg")
    expected = "none of its photos, such as 1.jpg, is .* equal names are told apart by their folder"
    with pytest.raises(SAVError, match=expected):
        compared(folders, folders / "some", draws=0)


@pytest.mark.parametrize(
    ("names", "photos", "expected"),
    [
        (["x/1", "2"], ["1", "y/2"], ["1", "y/2"]),
        (["a/1", "b/1"], ["b/1", "a/1"], ["a/1", "b/1"]),
        (["/data/a/1", "1"], ["1", "a/1"], ["a/1", "1"]),
        (["1"], ["a/1", "b/1"], [None]),
        (["a/1", "b/1"], ["a/1"], ["a/1", None]),
        (["1"], ["a/1", "a/11"], ["a/1"]),
    ],
)
def test_names_mean_photos(names, photos, expected):
    assert match_names(names, photos) == expected


def test_results_of_other_commands_are_not_written_over(data):
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    for _ in range(2):  # its own are
        compared(data, data / "all.json", draws=0)
    (data / "out" / "results.json").write_text(json.dumps({"cars_valid": {}}, indent=1))
    with pytest.raises(SAVError, match="is not of 'sav compare'"):
        compared(data, data / "all.json", draws=0)


@pytest.mark.parametrize("option", [("draws", -1), ("seed", -1), ("score-threshold", "nan")])
def test_numbers_that_cannot_be_are_refused(data, option):
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    with pytest.raises((SAVError, SystemExit)):
        compared(data, data / "all.json", **dict([option]))


def test_where_absolute_names_lead_is_said(data, tmp_path):
    contents = json.loads((data / "truth.json").read_text())
    (data / "far").mkdir()
    for image in contents["images"]:
        image["file_name"] = str(data / image["file_name"])
    (data / "far" / "truth.json").write_text(json.dumps(contents))
    (data / "all.json").write_text(json.dumps(results(MASKS)))
    words = [data / "far" / "truth.json", data / "all.json", "--ontology", data / "bicycle.yaml"]
    with pytest.raises(SAVError, match=f"their names are absolute.*--images {data}"):
        run(*words)
    run(*words, "--images", data, "--draws", 0, "--output", data / "out")
