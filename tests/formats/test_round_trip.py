"""Each format and back, and through COCO: what its `Holds` says survives does."""

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sav.formats.annotation_format import Holds, LabelledPhoto
from sav.formats.painting import topmost
from sav.formats.reading import Reading, read_entry
from sav.formats.records import PartInstance
from sav.formats.registry import FORMATS, detect_format

README = Path(__file__).parents[2] / "datasets" / "README.md"
SIZE = (240, 320)
CLASSES = ["Foreground", "Wheel", "door", "plate"]
WRITTEN = [name for name, form in FORMATS.items() if form.write]


def ellipse(x, y, a, b):
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1


def parts():
    """Two vehicles: a body with a hole, a door in two pieces, wheels, a plate, a thin strip."""
    body = ellipse(110, 120, 95, 70) & ~ellipse(90, 110, 25, 20)
    door = ellipse(60, 120, 18, 30) | ellipse(140, 120, 20, 30)
    strip = np.zeros(SIZE, dtype=bool)
    strip[150:153, 40:180] = True
    masks = [
        ("Foreground", body, 0),
        ("door", door, 0),
        ("Wheel", ellipse(60, 185, 24, 24), 0),
        ("Wheel", ellipse(160, 185, 24, 24), 0),
        ("plate", strip, 0),
        ("Foreground", ellipse(265, 130, 45, 60), 1),
        ("Wheel", ellipse(265, 190, 20, 22), 1),
    ]
    return [PartInstance.of_mask(*part) for part in masks]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.jpg", "b c.jpg", "empty.jpg"):
        pixels = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return [
        LabelledPhoto(folder / "a.jpg", "a.jpg", *SIZE, parts()),
        LabelledPhoto(folder / "b c.jpg", "b c.jpg", *SIZE, parts()[:3]),
        LabelledPhoto(folder / "empty.jpg", "empty.jpg", *SIZE, []),
    ]


def write(name, photos, out):
    FORMATS[name].write(iter(photos), CLASSES, out)
    return out


def read(name, data, images=None):
    """{photo: parts}, as `sav prepare` reads them."""
    found = {}
    for entry in FORMATS[name].find(data, images):
        result = read_entry(FORMATS[name], Reading(min_pixels=1), entry)
        assert not result.problems, [str(problem) for problem in result.problems]
        found[Path(entry.name).name] = result.instances
    return found


def same(first, second, holds):
    """Whether a mask is the other within a pixel of the border."""
    (a, b), kernel = (first, second), np.ones((3, 3), np.uint8)
    if holds.masks:
        return (a == b).all()
    grown, shrunk = (f(a.astype(np.uint8), kernel) > 0 for f in (cv2.dilate, cv2.erode))
    close = (b <= grown).all() and (shrunk <= b).all()
    return close and (a.sum() <= 2500 or (a & b).sum() >= 0.99 * (a | b).sum())


@pytest.mark.parametrize("name", WRITTEN)
def test_what_a_format_holds_survives(name, photos, tmp_path):
    holds = FORMATS[name].holds
    if not (holds.instances and holds.overlaps):
        pytest.skip("has a test of its own")
    out = write(name, photos, tmp_path / name)
    assert detect_format(out).name == name
    found = read(name, out, photos[0].image.parent)
    assert found.keys() >= {"a.jpg", "b c.jpg"}
    assert not found.get("empty.jpg")
    for photo in photos[:2]:
        read_back = list(found[photo.name])
        for part in photo.instances:
            match = max(read_back, key=lambda other: overlap(part, other))
            assert match.label == part.label
            assert same(part.mask, match.mask, holds), part.label
            if holds.vehicles:
                assert match.vehicle_id == part.vehicle_id
            read_back.remove(match)
        assert not read_back


@pytest.mark.parametrize("name", WRITTEN)
def test_without_overlaps_what_is_visible_survives(name, photos, tmp_path):
    holds = FORMATS[name].holds
    if holds.overlaps:
        pytest.skip("holds overlaps")
    assert holds.masks
    out = write(name, photos, tmp_path / name)
    assert detect_format(out).name == name
    found = read(name, out, photos[0].image.parent)
    assert found.keys() == {photo.name for photo in photos}
    assert not found["empty.jpg"]
    for photo in photos[:2]:
        canvas = topmost([part.mask for part in photo.instances], SIZE)
        visible = {(part.label, (canvas == i).tobytes()) for i, part in enumerate(photo.instances)}
        read_back = {(part.label, part.mask.tobytes()) for part in found[photo.name]}
        assert read_back == visible
        assert len(found[photo.name]) == len(photo.instances)


def overlap(part, other):
    both = part.mask & other.mask
    return (part.label == other.label) + both.sum() / (part.mask | other.mask).sum()


@pytest.mark.parametrize("name", WRITTEN)
def test_scores_of_predictions_survive(name, photos, tmp_path):
    if not FORMATS[name].holds.scores:
        pytest.skip("holds no scores")
    scored = [replace(part, score=round(0.9 - 0.1 * i, 4)) for i, part in enumerate(parts())]
    photos[0] = replace(photos[0], instances=scored)
    found = read(name, write(name, photos, tmp_path / name), photos[0].image.parent)["a.jpg"]
    assert sorted(part.score for part in found) == sorted(part.score for part in scored)


def test_through_coco_and_back(photos, tmp_path):
    for name in WRITTEN:
        out = write(name, photos, tmp_path / name)
        first = read(name, out, photos[0].image.parent)
        again = [replace(photo, instances=first.get(photo.name, [])) for photo in photos]
        coco = read("coco", write("coco", again, tmp_path / f"{name}_coco"), photos[0].image.parent)
        for photo in photos[:2]:
            masks = zip(first[photo.name], coco[photo.name], strict=True)
            assert all((one.mask == other.mask).all() for one, other in masks), name


def table():
    """The matrix of datasets/README.md."""
    names = [field.name for field in fields(Holds)]
    lines = ["| format | read | write | " + " | ".join(names) + " |"]
    lines.append("|---" * (len(names) + 3) + "|")
    for name, form in FORMATS.items():
        marks = [True, form.write is not None, *(getattr(form.holds, one) for one in names)]
        cells = ["yes" if mark else "-" for mark in marks]
        lines.append(f"| `{name}` ({form.title}) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def test_the_readme_has_the_matrix_of_formats():
    assert table() in README.read_text("utf-8"), f"put this into datasets/README.md:\n{table()}"
