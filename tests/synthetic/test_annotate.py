import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.ontology import available_ontologies
from sav.synthetic import Scene, load_mapping, render_scene
from sav.synthetic.annotate import MIN_FRAGMENT, annotate, outlines, to_labelme
from sav.synthetic.parts import PART_ID


def _fill(polygons, shape):
    flat = [polygon.ravel().tolist() for polygon in polygons]
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(flat, *shape))).astype(bool)


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(np.random.default_rng([11, i]), 256) for i in range(24)]


@pytest.mark.parametrize("name", available_ontologies())
def test_painted_polygons_give_the_index_map(scenes, name):
    mapping = load_mapping(name)
    overlap = np.zeros((2, len(mapping.ontology.class_names) + 1))
    for scene in scenes:
        labels = annotate(scene, mapping)
        painted = np.zeros_like(labels.index_map)
        for instance in labels.instances:
            painted[_fill(outlines(instance.mask), painted.shape)] = instance.class_id + 1
        for value in np.unique(labels.index_map):
            a, b = painted == value, labels.index_map == value
            overlap[:, value] += (a & b).sum(), (a | b).sum()
    seen = overlap[1] > 0
    shares = dict(zip(np.flatnonzero(seen), overlap[0, seen] / overlap[1, seen], strict=True))
    if name == "vehicle":  # arcs of a few pixels' width in the wheel arches
        assert shares.pop(PART_ID["underbody"]) >= 0.92
    assert min(shares.values()) >= 0.97


def test_foreground_covers_the_vehicle_and_comes_first(scenes):
    mapping = load_mapping("vehicleseg10k")
    for scene in scenes[:6]:
        instances = annotate(scene, mapping).instances
        first = instances[0]
        outline = _fill(outlines(first.mask), scene.part_map.shape)
        mine = scene.vehicle_map == first.vehicle_id + 1
        assert (outline & mine).sum() > 0.97 * mine.sum()
        covers = [part.class_id in mapping.ontology.body_ids for part in instances]
        assert covers[0]
        assert covers == sorted(covers, reverse=True)
        areas = [np.count_nonzero(part.mask) for part in instances[sum(covers) :]]
        assert areas == sorted(areas, reverse=True)


def scene_of(parts, vehicles):
    """A scene whose maps hold one row of ten pixels a part, given as the parts' names."""
    part_map = np.repeat([[PART_ID[name]] * 10 for name in parts], 4, axis=0).astype(np.uint8)
    vehicle_map = np.repeat([[number] * 10 for number in vehicles], 4, axis=0).astype(np.uint8)
    image = np.zeros((*part_map.shape, 3), np.uint8)
    return Scene(image, part_map, vehicle_map, {"vehicles": [{}] * max(vehicles)})


def found(scene, name):
    mapping = load_mapping(name)
    names = mapping.ontology.class_names
    return {
        (names[part.class_id], part.vehicle_id, int(part.mask.sum()))
        for part in annotate(scene, mapping).instances
    }


def test_a_plate_has_the_class_of_the_lid_that_it_hangs_on():
    sedan, hatchback = ("trunk", "trunk_plate"), ("tailgate", "trunk_plate")
    scene = scene_of((*sedan, *hatchback, "bed_gate", "bumper_plate"), (1, 1, 2, 2, 3, 3))
    assert found(scene, "dsmlr") == {("tailgate", 0, 80), ("trunk", 1, 80), ("trunk", 2, 40)}
    lids = {("trunk", 0, 80), ("trunk", 1, 80), ("tailgate", 2, 40)}
    assert found(scene, "carparts_seg") == lids
    plates = {("Plate", number, 40) for number in range(3)}
    bodies = {("Foreground", number, 80) for number in range(3)}
    assert found(scene, "vehicleseg10k") == plates | bodies
    assert len(found(scene, "vehicle")) == 6


def test_a_plate_alone_is_no_bumper():
    scene = scene_of(("front_plate", "left_front_door", "left_front_window"), (1, 1, 1))
    assert found(scene, "dsmlr") == {("front_left_door", 0, 80)}


def test_specks_are_not_annotated(scenes):
    for scene in scenes:
        for instance in annotate(scene, load_mapping("udapart_car")).instances:
            _, _, stats, _ = cv2.connectedComponentsWithStats(
                instance.mask.view(np.uint8), connectivity=4
            )
            assert stats[:, cv2.CC_STAT_AREA].min() >= MIN_FRAGMENT
            polygons = outlines(instance.mask)
            assert polygons
            assert all(len(polygon) >= 3 for polygon in polygons)


def test_outline_of_a_ring_leaves_its_hole_open():
    mask = np.zeros((60, 80), bool)
    mask[5:35, 5:45] = True
    mask[15:25, 20:30] = False
    mask[40:50, 60:70] = True
    polygons = outlines(mask)
    assert len(polygons) == 3
    assert np.array_equal(_fill(polygons, mask.shape), mask)


def test_pieces_of_one_instance_share_their_description(scenes):
    mapping = load_mapping("vehicleseg10k")
    split = 0
    for scene in scenes:
        labels = annotate(scene, mapping)
        record = to_labelme(labels, mapping.ontology.class_names, "x.jpg")
        keys = {}
        for shape in record["shapes"]:
            assert shape["shape_type"] == "polygon"
            key = shape["description"]
            split += key in keys
            assert keys.setdefault(key, (shape["label"], shape["group_id"])) == (
                shape["label"],
                shape["group_id"],
            )
        assert len(keys) == len(labels.instances)
    assert split > 0
