"""The scripts that draw the figures of docs/."""

import importlib
from pathlib import Path

import pytest
from PIL import Image

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def test_the_architecture_is_drawn_with_the_shapes_of_the_model(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FIGURES))
    from architecture import draw
    from observation import Observation

    seen = Observation()
    assert {
        name: shape.replace("\N{MULTIPLICATION SIGN}", "x") for name, shape in seen.shapes.items()
    } == {
        "canvas": "3 x S x S",
        "embedding": "256 x S/16 x S/16",
        "prompts": "C x 256",
        "queries": "N x 256",
        "masks": "N x S/4 x S/4",
        "presence": "N",
        "iou": "N",
        "class maps": "C x S/4 x S/4",
        "layout": "C x 18 x 18",
        "key": "81 C",
        "exemplar layouts": "k x C x 18 x 18",
        "exemplar prototypes": "k x (C + 1) x 256",
        "evidence": "3 x C x S/16 x S/16",
        "corrected masks": "N x S/4 x S/4",
        "instances": "M x H x W",
        "label map": "H x W",
    }
    draw(seen, tmp_path / "drawn.png")
    with (
        Image.open(tmp_path / "drawn.png") as drawn,
        Image.open(FIGURES.parent / "architecture.png") as kept,
    ):
        assert drawn.size == kept.size == (1800, 1176)
        assert kept.mode == "P"
    for file in (tmp_path / "drawn.png", FIGURES.parent / "architecture.png"):
        assert file.stat().st_size < 150 * 1024


@pytest.mark.parametrize("name", ["inspection", "predictions"])
def test_the_pictures_of_the_shipped_model_are_drawn(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FIGURES))
    importlib.import_module(name).draw(tmp_path / "drawn.jpg")
    with (
        Image.open(tmp_path / "drawn.jpg") as drawn,
        Image.open(FIGURES.parent / f"{name}.jpg") as kept,
    ):
        assert drawn.size == kept.size
