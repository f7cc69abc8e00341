"""Rendered vehicles whose annotations are right, to plant faults in."""

import copy
import json

import pytest

from sav.check.photos import read_data
from sav.check.run import check_data
from sav.formats.masks import decode_codes, encode_mask, mask_box
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import load_ontology
from sav.synthetic import generate_dataset

ONTOLOGY = load_ontology("dsmlr")
PHOTOS = 100
_VISIBLE = 25  # pixels; what shows less, a person would not draw


@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Folder of instances_train.json."""
    root = tmp_path_factory.mktemp("rendered") / "cars"
    sizes = {"train": PHOTOS}
    generate_dataset(root, splits=sizes, image_size=128, workers=1, ontology="dsmlr")
    source = VehicleSegSource(root, ONTOLOGY, "rest")
    convert_vehicleseg10k(source, root / "coco", splits=["train"], workers=1)
    file = root / "coco" / "instances_train.json"
    contents = json.loads(file.read_text())
    drawn = [a for a in contents["annotations"] if a["area"] >= _VISIBLE]
    file.write_text(json.dumps({**contents, "annotations": drawn}))
    return root / "coco"


class Annotations:
    """The annotations of the renderings, to change and to check."""

    def __init__(self, contents, folder):
        self.contents = contents
        self.folder = folder

    def of(self, name):
        class_id = ONTOLOGY.class_id(name) + 1
        return [a for a in self.contents["annotations"] if a["category_id"] == class_id]

    def of_image(self, image_id):
        return [a for a in self.contents["annotations"] if a["image_id"] == image_id]

    def rename(self, annotation, name):
        annotation["category_id"] = ONTOLOGY.class_id(name) + 1

    def remove(self, annotation):
        self.contents["annotations"].remove(annotation)

    def mask(self, annotation):
        code = annotation["segmentation"]
        return decode_codes([code], *code["size"])[0].copy()

    def set_mask(self, annotation, mask):
        annotation["segmentation"] = encode_mask(mask)
        if mask.any():
            x0, y0, x1, y1 = mask_box(mask)
            annotation["bbox"] = [x0, y0, x1 - x0, y1 - y0]

    def add(self, annotation):
        new = copy.deepcopy(annotation)
        new["id"] = max(a["id"] for a in self.contents["annotations"]) + 1
        self.contents["annotations"].append(new)
        return new

    def write(self, name="planted.json"):
        path = self.folder / name
        path.write_text(json.dumps(self.contents))
        return path

    def check(self, predict=None):
        return check_data(read_data([self.write()]), predict)


@pytest.fixture
def annotations(rendered, tmp_path):
    contents = json.loads((rendered / "instances_train.json").read_text())
    contents["info"]["image_root"] = str(rendered / contents["info"]["image_root"])
    return Annotations(contents, tmp_path)
