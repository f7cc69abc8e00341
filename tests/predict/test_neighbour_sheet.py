import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

from sav.drawing.layouts import draw_layout
from sav.drawing.sheet import Panel, compose_sheet
from sav.formats.images import read_rgb
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.gallery.vehicles import Vehicle
from sav.ontology import load_ontology
from sav.predict.neighbour_sheet import draw_neighbours
from sav.predict.predictor import Neighbour

from ..engine.toy import draw

CAPTION, PICTURE = slice(0, 56), slice(56, None)
LINE = 24
DOORS = ("Left front door", "Right front door")


@pytest.fixture
def vans(tmp_path):
    draw(tmp_path / "vans", "train", 5)
    return tmp_path / "vans" / "train.json"


def turned(folder, tmp_path):
    """A data set of a left door, and what it is in the mirror, drawn by hand."""
    ontology = load_ontology("vehicleseg10k")
    ids = {name: ontology.class_id(name) + 1 for name in ("Wheel", *DOORS)}
    for name, door in zip(("as it is", "in the mirror"), DOORS, strict=True):
        made = shutil.copytree(folder, tmp_path / name)
        contents = json.loads((made / "train.json").read_text())
        for annotation in contents["annotations"]:
            if annotation["category_id"] == ids["Wheel"]:
                annotation["category_id"] = ids[door]
            if door == DOORS[1]:
                mask = rle.decode(annotation["segmentation"])[:, ::-1]
                code = rle.encode(np.asfortranarray(mask))
                annotation["segmentation"]["counts"] = code["counts"].decode()
        (made / "train.json").write_text(json.dumps(contents))
    for path in (tmp_path / "in the mirror" / "images").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path))[:, ::-1])
    return tmp_path / "as it is", tmp_path / "in the mirror"


def draw_one(predictor, path, photo, file, *, mirrored=False, sources=None, layout=None):
    """The sheet of a photo and one neighbour, with a gallery of the sources and the layout given.

    Returns:
        the sheet, and how many photos are said to be missing.
    """
    gallery = Gallery({})
    gallery.sources.update(sources or {})
    known = predictor.model.context.gallery.exemplars
    if layout is not None:
        known.layouts = torch.stack([torch.zeros_like(layout), layout])
    neighbours = [Vehicle(Photo("vans/1")), Vehicle(Photo("vans/2", file=file))]
    gallery.update(neighbours, known)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor.model.context, "gallery", gallery)
        found = [Neighbour(0, 1, neighbours[1], 0.5, mirrored)]
        missing = draw_neighbours(path, read_rgb(photo), found, predictor)
    return np.asarray(Image.open(path)), missing


def test_mirror_images_are_drawn_as_the_model_looks_at_them(predictor, vans, tmp_path):
    sheets = []
    for folder, mirrored in zip(turned(vans.parent, tmp_path), (True, False), strict=True):
        image = folder / "images" / "train2.png"
        sources = {"vans": {"file": str(folder / "train.json")}}
        photo = vans.parent / "images" / "train1.png"
        where = tmp_path / "sheet.png", photo, str(image)
        sheets.append(draw_one(predictor, *where, mirrored=mirrored, sources=sources)[0])
    assert np.array_equal(sheets[0][PICTURE], sheets[1][PICTURE])
    assert not np.array_equal(sheets[0][CAPTION], sheets[1][CAPTION])


def test_the_caption_says_when_a_photo_is_not_here(predictor, vans, tmp_path):
    photo, sheet = vans.parent / "images" / "train1.png", tmp_path / "sheet.png"
    for file in (str(photo), str(photo) + "x", None):
        drawn, missing = draw_one(predictor, sheet, photo, file)
        assert missing == (file != str(photo))
        picture = slice(PICTURE.start + LINE * missing, None)
        first = Panel(drawn[picture, :480], ["the photo", "with predicted parts"])
        caption = ["similarity 0.500", "vans/2"]
        caption += ["photo not here: its stored layout"] * missing
        second = Panel(drawn[picture, 488:], caption)
        assert np.array_equal(drawn, compose_sheet([[first, second]]))


def side_view(predictor):
    """A layout of a body with a left door in its left half; the shares of its mirror image."""
    ontology = predictor.model.ontology
    left, right = (ontology.class_id(name) for name in DOORS)
    layout = torch.zeros_like(predictor.model.context.gallery.exemplars.layouts[0])
    layout[ontology.class_id("Foreground"), 3:12, 2:16] = 255
    layout[:, 5:10, 4:9] = 0
    mirrored = layout.flip(-1)
    layout[left, 5:10, 4:9] = 255
    mirrored[right, 5:10, 9:14] = 255
    return layout, mirrored


def test_where_the_photo_is_missing_the_stored_layout_is_drawn(predictor, vans, tmp_path):
    photo, sheet = vans.parent / "images" / "train1.png", tmp_path / "sheet.png"
    ontology = predictor.model.ontology
    picture = PICTURE.start + LINE
    for layout, door in zip(side_view(predictor), DOORS, strict=True):
        drawn, _ = draw_one(predictor, sheet, photo, None, layout=layout)
        expected = draw_layout(layout.numpy(), ontology, (480, 360))
        assert np.array_equal(drawn[picture:, 488:], expected)
        half = expected[:, :240] if door == DOORS[0] else expected[:, 240:]
        shown = (half == ontology.colors[ontology.class_id(door)]).all(axis=-1).mean()
        assert shown > 0.08  # the door takes 25 of the 162 cells, its name some of these


def test_mirror_images_of_layouts_are_drawn_as_the_model_looks_at_them(predictor, vans, tmp_path):
    photo, sheet = vans.parent / "images" / "train1.png", tmp_path / "sheet.png"
    layout, turned_by_hand = side_view(predictor)
    first, _ = draw_one(predictor, sheet, photo, None, layout=layout, mirrored=True)
    second, _ = draw_one(predictor, sheet, photo, None, layout=turned_by_hand)
    picture = slice(PICTURE.start + LINE, None)
    assert np.array_equal(first[picture], second[picture])
    assert not np.array_equal(first[CAPTION], second[CAPTION])
