"""``-``: what comes on the standard input."""

import io
import json
import sys

import pytest
from PIL import Image

from sav.cli import dispatch
from sav.errors import SAVError

from ..engine.toy import draw


@pytest.fixture
def stdin(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


@pytest.fixture
def annotations(tmp_path):
    draw(tmp_path / "vans", "train", 3)
    return tmp_path / "vans" / "train.json"


def predict(run_folder, out, *words):
    options = ["--model", run_folder, "--output", out, "--device", "cpu", "--score-threshold", "0"]
    dispatch(["predict", *map(str, (*words, *options))])


def test_a_photo_is_predicted_and_kept_beside_its_results(run_folder, photos, tmp_path, stdin):
    content = (photos / "two.jpg").read_bytes()
    stdin(content)
    out = tmp_path / "out"
    predict(run_folder, out, "-", photos / "one.png", "--format", "json", "labelme")
    assert (out / "stdin" / "stdin.jpg").read_bytes() == content
    parts = json.loads((out / "stdin.json").read_text())
    assert parts["file"] == str(out / "stdin" / "stdin.jpg")
    assert (out / "one.json").is_file()
    assert (out / "labelme" / "stdin.json").is_file()
    predict(run_folder, tmp_path / "file", photos / "two.jpg", "--format", "json")
    of_file = json.loads((tmp_path / "file" / "two.json").read_text())
    assert parts["parts"] == of_file["parts"]


def test_no_photo_is_overwritten_unasked(run_folder, photos, tmp_path, stdin):
    out = tmp_path / "out"
    file = out / "stdin" / "stdin.png"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    stdin((photos / "one.png").read_bytes())
    with pytest.raises(SAVError, match=r"stdin\.png: exists already"):
        predict(run_folder, out, "-")
    assert [path.name for path in out.rglob("*.*")] == ["stdin.png"]
    stdin((photos / "one.png").read_bytes())
    predict(run_folder, out, "-", "--overwrite", "--format", "json")
    assert file.read_bytes() == (photos / "one.png").read_bytes()


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", "is empty"), (b"no photo", "is no photo"), (b"\x89PNG\r\n\x1a\n", "is no photo")],
)
def test_what_is_no_photo_is_one_line(content, error, run_folder, tmp_path, stdin):
    stdin(content)
    with pytest.raises(SAVError, match=error):
        predict(run_folder, tmp_path / "out", "-")
    assert not (tmp_path / "out").exists()


def test_gallery_query(run_folder, photos, tmp_path, stdin):
    stdin((photos / "one.png").read_bytes())
    picture = tmp_path / "neighbours.png"
    words = ["--model", str(run_folder), "--device", "cpu", "--output", str(picture)]
    dispatch(["gallery", "query", "-", *words])
    with Image.open(picture) as image:
        assert min(image.size) > 0


def test_convert(annotations, tmp_path, stdin):
    stdin(annotations.read_bytes())
    dispatch(["convert", "-", str(tmp_path / "out"), "--to", "labelme", "--images",
              str(annotations.parent)])  # fmt: skip
    assert len(list((tmp_path / "out").rglob("*.json"))) == 3


def test_assign(annotations, tmp_path, stdin):
    stdin(annotations.read_bytes())
    images, out = ["--images", str(annotations.parent)], tmp_path / "out"
    dispatch(["assign", "-", *images, "--parts", str(annotations), "--output", str(out)])
    contents = json.loads((out / "assignments.json").read_text())
    assert len(contents["photos"]) == 3
    stdin(b"")
    with pytest.raises(SAVError, match="is empty"):
        dispatch(["assign", "-", *images, "--output", str(tmp_path / "none")])


def test_compare_reads_one_of_its_predictions(annotations, tmp_path, stdin, capsys):
    words = ["--images", str(annotations.parent), "--draws", "0", "--output", str(tmp_path / "out")]
    stdin(annotations.read_bytes())
    dispatch(["compare", str(annotations), "piped=-", *words])
    assert "| piped" in capsys.readouterr().out
    with pytest.raises(SAVError, match="once only"):
        dispatch(["compare", str(annotations), "a=-", "-", *words])


def test_a_terminal_is_not_waited_for(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(SAVError, match="nothing comes on the standard input"):
        dispatch(["predict", "-", "--output", str(tmp_path / "out")])
