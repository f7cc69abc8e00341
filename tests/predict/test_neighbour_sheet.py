import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from sav.formats.images import read_rgb
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.ontology import load_ontology
from sav.predict.neighbour_sheet import draw_neighbours
from sav.predict.predictor import Neighbour

from ..engine.toy import draw

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


def test_mirror_images_are_drawn_as_the_model_looks_at_them(predictor, vans, tmp_path):
    ontology = predictor.ontology
    sheets = []
    for folder, mirrored in zip(turned(vans.parent, tmp_path), (True, False), strict=True):
        image = folder / "images" / "train2.png"
        gallery = Gallery({})
        gallery.sources["vans"] = {"file": str(folder / "train.json")}
        draw_neighbours(
            tmp_path / "sheet.png",
            read_rgb(vans.parent / "images" / "train1.png"),
            predictor(read_rgb(image))[[]],
            [Neighbour(Photo("vans/2", file=str(image)), 0.5, mirrored)],
            gallery=gallery,
            ontology=ontology,
            vocabularies=[ontology],
        )
        sheets.append(np.asarray(Image.open(tmp_path / "sheet.png")).astype(int))
    caption, picture = slice(0, 56), slice(56, None)
    assert np.array_equal(sheets[0][picture], sheets[1][picture])
    assert not np.array_equal(sheets[0][caption], sheets[1][caption])
