"""``sav check``."""

import json

import numpy as np
import pytest
from PIL import Image

from sav.cli import dispatch
from sav.errors import SAVError
from sav.formats.masks import encode_mask
from sav.ontology import load_ontology


@pytest.fixture
def data(tmp_path):
    """A photo of noise, with a hood whose mask is a trunk's, too."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 10:50] = 1
    names = load_ontology("dsmlr").class_names
    contents = {
        "info": {"ontology": "dsmlr", "image_root": "."},
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, start=1)],
        "images": [{"id": 1, "file_name": "photo.png", "width": 64, "height": 64}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": names.index(name) + 1, "vehicle_id": 0}
            | {"bbox": [10, 20, 40, 20], "segmentation": encode_mask(mask)}
            for i, name in enumerate(("hood", "trunk"), start=1)
        ],
    }
    (tmp_path / "instances_train.json").write_text(json.dumps(contents))
    return tmp_path


def test_a_folder_without_a_model(data, capsys):
    page, report = data / "out" / "check.html", data / "out" / "check.json"
    words = ["check", str(data), "--no-model", "--html", str(page), "--json", str(report)]
    dispatch(words)
    assert "hood and trunk are the same mask" in capsys.readouterr().out
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(report.read_text())["counts"] == {"twice": 1}
    dispatch(words)  # what it has written itself it writes again


def test_the_shipped_model_says_what_it_learned_from(data, capsys):
    dispatch(["check", str(data), "--device", "cpu"])
    assert "DSMLR" in capsys.readouterr().out


def test_strict_ends_with_an_error(data):
    with pytest.raises(SAVError, match="1 findings in 1 photos"):
        dispatch(["check", str(data), "--no-model", "--strict"])
    dispatch(["check", str(data), "--no-model", "--strict", "--min-rank", "1"])


def test_annotations_of_any_format_are_converted_first(data, capsys):
    folder = data / "labelme"
    dispatch(["convert", str(data / "instances_train.json"), str(folder), "--to", "labelme"])
    words = ["check", str(folder), "--no-model"]
    with pytest.raises(SAVError, match="say whose classes it has with --ontology"):
        dispatch(words)
    dispatch([*words, "--ontology", "dsmlr"])
    assert "hood and trunk are the same mask" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_nothing_of_others_is_overwritten(data, option):
    other = data / "other.txt"
    other.write_text("mine")
    with pytest.raises(SAVError, match=r"other\.txt: there is something else"):
        dispatch(["check", str(data), "--no-model", option, str(other)])
    assert other.read_text() == "mine"


def test_a_vocabulary_that_the_model_does_not_know(data, tmp_path):
    contents = json.loads((data / "instances_train.json").read_text())
    view = tmp_path / "bicycle.yaml"
    view.write_text(
        "name: bicycle\nclasses:\n"
        "  - {id: 0, name: frame, description: the frame, color: [9, 9, 9]}\n"
    )
    contents["categories"], contents["annotations"] = [{"id": 1, "name": "frame"}], []
    file = tmp_path / "bicycle.json"
    file.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="--no-model checks without"):
        dispatch(["check", str(file), "--ontology", str(view)])


@pytest.mark.parametrize(
    ("name", "error"),
    [("nothing.json", "no such file"), ("empty", "recognised"), ("photo.png", "recognised")],
)
def test_what_is_no_data(data, name, error):
    (data / "empty").mkdir()
    with pytest.raises(SAVError, match=error):
        dispatch(["check", str(data / name), "--no-model", "--ontology", "dsmlr"])
