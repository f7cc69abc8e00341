import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.ontology import available_ontologies
from sav.synthetic import load_mapping, render_scene
from sav.synthetic.annotate import MIN_FRAGMENT, annotate, outlines, to_labelme


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
    assert (overlap[0, seen] / overlap[1, seen]).min() >= 0.97


def test_foreground_covers_the_vehicle_and_comes_first(scenes):
    mapping = load_mapping("vehicleseg10k")
    for scene in scenes[:6]:
        instances = annotate(scene, mapping).instances
        first = instances[0]
        outline = _fill(outlines(first.mask), scene.part_map.shape)
        mine = scene.vehicle_map == first.vehicle_id + 1
        assert (outline & mine).sum() > 0.97 * mine.sum()
        covers = [part.class_id == mapping.cover - 1 for part in instances]
        assert covers[0]
        assert covers == sorted(covers, reverse=True)
        areas = [np.count_nonzero(part.mask) for part in instances[sum(covers) :]]
        assert areas == sorted(areas, reverse=True)


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
