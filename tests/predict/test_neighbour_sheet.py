import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

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


def draw_one(predictor, path, photo, file, *, mirrored=False, sources=None):
    """The sheet of a photo and one neighbour, with a gallery of the sources given."""
    gallery = Gallery({})
    gallery.sources.update(sources or {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor.model.context, "gallery", gallery)
        found = [Neighbour(0, 0, Vehicle(Photo("vans/2", file=file)), 0.5, mirrored)]
        draw_neighbours(path, read_rgb(photo), found, predictor)
    return np.asarray(Image.open(path))


def test_mirror_images_are_drawn_as_the_model_looks_at_them(predictor, vans, tmp_path):
    sheets = []
    for folder, mirrored in zip(turned(vans.parent, tmp_path), (True, False), strict=True):
        image = folder / "images" / "train2.png"
        sources = {"vans": {"file": str(folder / "train.json")}}
        photo = vans.parent / "images" / "train1.png"
        where = tmp_path / "sheet.png", photo, str(image)
        sheets.append(draw_one(predictor, *where, mirrored=mirrored, sources=sources))
    assert np.array_equal(sheets[0][PICTURE], sheets[1][PICTURE])
    assert not np.array_equal(sheets[0][CAPTION], sheets[1][CAPTION])


def test_the_caption_says_when_a_photo_is_not_here(predictor, vans, tmp_path):
    photo, sheet = vans.parent / "images" / "train1.png", tmp_path / "sheet.png"
    for file in (str(photo), str(photo) + "x", None):
        drawn = draw_one(predictor, sheet, photo, file)
        first = Panel(drawn[PICTURE, :480], ["the photo", "with predicted parts"])
        here = file == str(photo)
        assert (len(np.unique(drawn[PICTURE, 488:])) > 1) == here
        caption = ["neighbour 1, similarity 0.500", "vans/2" if here else "vans/2, photo not here"]
        second = Panel(drawn[PICTURE, 488:], caption)
        assert np.array_equal(drawn, compose_sheet([[first, second]]))
