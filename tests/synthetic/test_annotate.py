import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.ontology import available_ontologies
from sav.synthetic import load_mapping, render_scene
from sav.synthetic.annotate import MIN_FRAGMENT, annotate, to_labelme, trace_polygons


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
            painted[_fill(instance.polygons, painted.shape)] = instance.class_value
        for value in np.unique(labels.index_map):
            a, b = painted == value, labels.index_map == value
            overlap[:, value] += (a & b).sum(), (a | b).sum()
    seen = overlap[1] > 0
    assert (overlap[0, seen] / overlap[1, seen]).min() >= 0.97


def test_foreground_covers_the_vehicle_and_comes_first(scenes):
    mapping = load_mapping("vehicleseg10k")
    for scene in scenes[:6]:
        first, *rest = annotate(scene, mapping).instances
        assert first.covers
        outline = _fill(first.polygons, scene.part_map.shape)
        mine = scene.vehicle_map == first.vehicle + 1
        assert (outline & mine).sum() > 0.97 * mine.sum()
        assert [part.covers for part in rest] == sorted((p.covers for p in rest), reverse=True)


def test_specks_are_not_annotated(scenes):
    for scene in scenes:
        for instance in annotate(scene, load_mapping("udapart_car")).instances:
            assert instance.area >= MIN_FRAGMENT
            assert all(len(polygon) >= 3 for polygon in instance.polygons)


def test_polygon_of_a_ring_leaves_its_hole_open():
    mask = np.zeros((40, 50), bool)
    mask[5:35, 5:45] = True
    mask[15:25, 20:30] = False
    polygons = trace_polygons(mask, (100, 20))
    assert len(polygons) == 2
    painted = _fill([p - (100, 20) for p in polygons], mask.shape)
    assert np.array_equal(painted, mask)


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
