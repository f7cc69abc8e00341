import numpy as np

from sav.ontology import load_ontology
from sav.ontology.placement import Placement
from sav.ontology.plot_edges import bends, drawn_relations


def test_ways_go_round_nodes_and_mirror_images_to_the_same_degree():
    centres = np.array([[0, 50], [100, 50], [200, 50], [0, -50], [100, -50], [200, -50]], float)
    sizes = np.full((6, 2), (60.0, 30.0))
    mirrors = [3, 4, 5, 0, 1, 2]
    bent = bends([(0, 1), (0, 2), (3, 5), (5, 3)], mirrors, Placement(centres, sizes))
    assert bent[0, 1] == 0
    assert bent[0, 2] != 0
    assert bent[3, 5] == -bent[0, 2]
    assert bent[5, 3] == bent[0, 2]


def test_every_fact_is_drawn_once():
    ontology = load_ontology("dsmlr")
    drawn = drawn_relations(ontology)
    ends = [(*sorted((r.subject, r.object)), r.predicate) for r in drawn]
    assert len(set(ends)) == len(ends)
    left_of_mirrors = sum(part.side == "left" for part in ontology.classes)
    assert len(ontology.relations) == 2 * (len(drawn) + left_of_mirrors)
