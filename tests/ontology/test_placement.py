import numpy as np
import pytest

from sav.ontology import available_ontologies, load_ontology
from sav.ontology.placement import Placement, bends, place_nodes, row_of


def sizes_of(ontology):
    return np.array([(12 + 5 * len(node.name), 34.0) for node in ontology.nodes])


@pytest.mark.parametrize("name", available_ontologies())
def test_no_two_nodes_overlap(name):
    ontology = load_ontology(name)
    placed = place_nodes(ontology, sizes_of(ontology))
    free = ((placed.low[:, None] >= placed.high) | (placed.high[:, None] <= placed.low)).any(2)
    assert (free | np.eye(len(ontology.nodes), dtype=bool)).all()


@pytest.mark.parametrize("name", available_ontologies())
def test_the_sides_are_reflections(name):
    ontology = load_ontology(name)
    centres = place_nodes(ontology, sizes_of(ontology)).centres
    for part, mirror in zip(ontology.classes, ontology.mirror_ids, strict=True):
        if part.side != "none":
            assert centres[mirror].tolist() == (centres[part.id] * (1, -1)).tolist()
            assert (centres[part.id, 1] > 0) == (part.side == "left")


def test_places_follow_the_positions():
    ontology = load_ontology("udapart_car")
    placed = place_nodes(ontology, sizes_of(ontology)).centres
    centres = dict(zip(ontology.graph, placed, strict=True))
    assert centres["front_bumper"][0] > centres["roof"][0] > centres["back_bumper"][0]
    assert centres["roof"][1] > centres["front_bumper"][1]
    # Folded out, a side has its wheels farthest from the middle.
    assert centres["front_left_wheel"][1] > centres["front_left_window"][1]
    assert centres["front_right_wheel"][1] < centres["front_right_window"][1]
    rows = [row_of(node) for node in ontology.nodes]
    assert rows.count(1) == rows.count(-1) == 11


def test_ways_go_round_nodes_and_mirror_images_to_the_same_degree():
    centres = np.array([[0, 50], [100, 50], [200, 50], [0, -50], [100, -50], [200, -50]], float)
    sizes = np.full((6, 2), (60.0, 30.0))
    mirrors = [3, 4, 5, 0, 1, 2]
    bent = bends([(0, 1), (0, 2), (3, 5), (5, 3)], mirrors, Placement(centres, sizes))
    assert bent[0, 1] == 0
    assert bent[0, 2] != 0
    assert bent[3, 5] == -bent[0, 2]
    assert bent[5, 3] == bent[0, 2]
