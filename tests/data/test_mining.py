import json

import numpy as np
import pytest

from sav.data.mining import mine_priors
from sav.errors import SAVError
from sav.formats.masks import encode_mask
from sav.ontology import load_ontology

NAMES = load_ontology("vehicleseg10k").class_names


def write(path, parts, **info):
    """Parts are (image, vehicle, class, x0, y0, x1, y1) in photos of 40 x 60."""
    annotations = []
    for image, vehicle, cls, x0, y0, x1, y1 in parts:
        mask = np.zeros((40, 60), np.uint8)
        mask[y0:y1, x0:x1] = 1
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": cls + 1,
                "iscrowd": 0,
                "segmentation": encode_mask(mask),
                "vehicle_id": vehicle,
            }
        )
    contents = {
        "info": {"ontology": "vehicleseg10k", "image_root": "."} | info,
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 60, "height": 40} for i in (1, 2)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)],
    }
    path.write_text(json.dumps(contents))
    return path


def test_vehicles_are_told_apart_and_files_add_up(tmp_path):
    one = write(
        tmp_path / "one.json",
        [(1, 0, 0, 0, 0, 20, 20), (1, 0, 1, 5, 5, 10, 9), (1, 1, 0, 30, 0, 50, 20)],
    )
    two = write(tmp_path / "two.json", [(2, 0, 0, 0, 0, 20, 20), (2, 0, 2, 9, 9, 9, 9)])
    priors = mine_priors([one, two])
    assert priors.vehicles == 3
    assert priors.sources == ("one.json", "two.json")
    assert priors.co_visibility.share[0, 1] == pytest.approx(1 / 3)
    assert priors.containment.share[0, 1] == 1
    assert priors.seen[2] == 0  # a mask without a pixel shows nothing


def test_what_cannot_be_mined_is_named(tmp_path):
    path = write(tmp_path / "one.json", [(1, 0, 0, 0, 0, 20, 20)], ontology=None)
    with pytest.raises(SAVError, match=r"one\.json: it names no ontology"):
        mine_priors([path])
    with pytest.raises(SAVError, match="not the classes of dsmlr"):
        mine_priors([path], "dsmlr")
    assert mine_priors([path], "vehicleseg10k").vehicles == 1
    contents = json.loads(path.read_text())
    contents["annotations"][0]["image_id"] = 7
    path.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match=r"annotation 1: no id 7"):
        mine_priors([path], "vehicleseg10k")
    with pytest.raises(SAVError, match="nothing to mine"):
        mine_priors([write(tmp_path / "none.json", [])])
