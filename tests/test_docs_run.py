"""Commands of README and docs that are short, run one after the other where their files are."""

import shutil

import pytest
from PIL import Image

from sav.cli import dispatch
from sav.predict.writers import video_writer
from sav.run_folder import SHIPPED

from .documented import ROOT, fenced_commands
from .engine.toy import draw

pytestmark = pytest.mark.usefixtures("catalogs_as_before")

RUN = {
    "README.md": (("sav predict",), ("output/predictions/photo.json",)),
    "docs/check.md": (("sav check datasets/dsmlr",), ("check.html", "check.json")),
    "docs/gallery.md": (
        ("sav prepare", "sav gallery", "sav predict"),
        ("vans/gallery/gallery.json", "neighbours.png"),
    ),
    "docs/graph.md": (("sav graph",), ("priors.json", "graph.png")),
    "docs/predict.md": (
        ("sav predict",),
        ("output/mine/photo_overlay.png", "output/drafts/photo_mask.png"),
    ),
}
"""By file, how the commands begin that are run, and some of the files that they write."""


@pytest.fixture
def at_work(run_folder, photo, tmp_path, monkeypatch):
    """A folder with what the examples name; photos are of noise, or of boxes with a wheel."""
    for name in ("photo.jpg", "new_van.jpg", "folder/one.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(photo()).save(tmp_path / name)
    with video_writer(tmp_path / "video.mp4", 10) as append:
        append(photo(48, 64))
    draw(tmp_path, "train", 3)
    (tmp_path / "photos").symlink_to("images")
    for name in ("annotations.json", "instances_train.json", "instances_valid.json"):
        shutil.copy(tmp_path / "train.json", tmp_path / name)
    for folder in ("datasets/dsmlr", "datasets/synthetic/coco"):
        draw(tmp_path / folder, "instances_train", 2)
    shutil.copy(ROOT / "sav" / "ontology" / "vehicle.yaml", tmp_path / "my.yaml")
    shutil.copytree(run_folder, tmp_path / "output" / "quickstart")
    (tmp_path / "output" / "vehicle-lite0").symlink_to(SHIPPED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", list(RUN))
def test_commands_do_what_they_say(file, at_work):
    beginnings, written = RUN[file]
    lines = [c.words for c in fenced_commands() if c.place.startswith(f"{file}:")]
    chosen = [words for words in lines if " ".join(words).startswith(beginnings)]
    for words in chosen:
        if "--strict" in words:
            continue  # ends with an error, as it should
        shutil.rmtree(at_work / "output" / "predictions", ignore_errors=True)
        dispatch(list(words[1:]))
    assert all((at_work / name).is_file() for name in written)
