"""Index masks become instances."""

import json
from collections import Counter

import numpy as np
from PIL import Image

from sav.formats.index_mask import instances_of_index
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import load_ontology
from tests.fixtures.vehicleseg_folder import SIZE

ONTOLOGY = load_ontology("vehicleseg10k")
BODY, PLATE, WHEEL = 1, 2, 3


def two_vehicles():
    """A car with a body cut in two by a plate, two wheels and a speck; a small one beside it."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[5:25, 2:40] = BODY
    labels[5:25, 18:22] = PLATE
    labels[25:30, 5:11] = WHEEL
    labels[25:30, 30:36] = WHEEL
    labels[25, 20] = WHEEL
    labels[5:20, 48:62] = BODY
    labels[20:24, 50:56] = WHEEL
    # Cut off from the small vehicle by a pole, and too small to be a third one.
    labels[20:24, 60:64] = 0
    labels[26:30, 54:60] = WHEEL
    return labels


def found(labels, **options):
    notes = Counter()
    settings = {"foreground": "rest", "min_pixels": 4, **options}
    parts = list(instances_of_index(labels, ONTOLOGY, notes=notes, **settings))
    return parts, notes


def test_components_bodies_and_specks():
    labels = two_vehicles()
    parts, notes = found(labels)
    assert [(ONTOLOGY.class_id(p.label) + 1, p.vehicle_id) for p in parts] == [
        (BODY, 0),
        (BODY, 1),
        (PLATE, 0),
        (WHEEL, 0),
        (WHEEL, 0),
        (WHEEL, 1),
        (WHEEL, 1),
    ]
    assert notes["instances under 4 pixels dropped"] == 1
    np.testing.assert_array_equal(parts[0].mask, (labels == BODY) & (np.arange(64) < 44))
    covered = sum(part.mask.astype(int) for part in parts)
    assert covered.max() == 1
    assert covered.sum() == (labels > 0).sum() - 1


def test_whole_body_is_the_whole_vehicle():
    labels = two_vehicles()
    parts, _ = found(labels, foreground="whole")
    np.testing.assert_array_equal(parts[0].mask, (labels > 0) & (np.arange(64) < 44))


def test_converter_reads_palette_masks_and_skips_colour_copies(folder):
    labels = two_vehicles()
    folder.image("a")
    picture = Image.fromarray(labels)
    picture.putpalette([7] * 3 + [200, 0, 0] * 13)
    annotations = folder.root / "annotations" / "train"
    annotations.mkdir(parents=True)
    picture.save(annotations / "a.png")
    Image.new("RGB", (64, 48), "red").save(annotations / "a_color.png")
    out = folder.root / "coco"
    source = VehicleSegSource(folder.root, ONTOLOGY, min_pixels=4)
    convert_vehicleseg10k(source, out, splits=["train"], workers=1, strict=True)
    counts = json.loads((out / "report_train.json").read_text())["instances_per_class"]
    assert (counts["Foreground"], counts["Plate"], counts["Wheel"]) == (2, 1, 4)
