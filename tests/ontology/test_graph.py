import numpy as np
import pytest

from sav.ontology import Relation, available_ontologies, load_ontology
from sav.ontology.graph import relation_support, relation_weights, touching_ids
from sav.ontology.mining import GRID, PriorMiner
from sav.ontology.relations import PREDICATES


@pytest.mark.parametrize("name", available_ontologies())
def test_each_relation_is_one_weight(name):
    ontology = load_ontology(name)
    index = {node.name: i for i, node in enumerate(ontology.nodes)}
    facts = ontology.relations
    support = {fact: (k % 7) / 7 for k, fact in enumerate(facts) if k % 3}
    plain = relation_weights(ontology, PREDICATES)
    weighted = relation_weights(ontology, PREDICATES, support)
    assert plain.shape == (len(PREDICATES), len(index), len(index))
    assert plain.dtype == weighted.dtype == np.float32
    assert plain.sum() == len(facts)
    for fact in facts:
        place = PREDICATES.index(fact.predicate), index[fact.subject], index[fact.object]
        assert plain[place] == 1
        assert weighted[place] == np.float32(support.get(fact, 1.0))
    assert (weighted[plain == 0] == 0).all()


def test_weights_of_some_predicates():
    ontology = load_ontology("vehicleseg10k")
    every = relation_weights(ontology, PREDICATES)
    some = relation_weights(ontology, ["inside", "above"])
    assert np.array_equal(some, every[[PREDICATES.index(p) for p in ("inside", "above")]])


def test_support_is_what_annotations_bear_out():
    ontology = load_ontology("vehicleseg10k")
    miner = PriorMiner(ontology)
    body, plate, wheel = (ontology.class_id(name) for name in ("Foreground", "Plate", "Wheel"))
    boxes = np.array([[0, 0, 100, 50], [80, 30, 90, 35], [10, 40, 30, 60]], dtype=np.float64)
    masks = np.zeros((3, GRID, GRID), dtype=bool)
    masks[0, :30], masks[1, 50:], masks[2, 30:40] = True, True, True
    for _ in range(200):
        miner.add(np.array([body, plate, wheel]), boxes, masks)
    found = relation_support(ontology, miner.finish(["made.json"]))
    assert found[Relation("Plate", "inside", "Foreground")] > 0.98
    assert found[Relation("Foreground", "contains", "Plate")] > 0.98
    assert found[Relation("Foreground", "adjacent_to", "Wheel")] > 0.98
    assert found[Relation("Plate", "above", "Wheel")] > 0.98
    assert found[Relation("Left front window", "above", "Left front door")] == 0
    assert {fact.inverse() for fact in found} == found.keys()
    assert not {fact.object for fact in found} & {"vehicle", "front end"}


def test_what_a_class_touches_is_on_its_own_side_if_anything_there_is():
    ontology = load_ontology("vehicleseg10k")
    touching = {
        part.name: [ontology.class_names[i] for i in ids]
        for part, ids in zip(ontology.classes, touching_ids(ontology), strict=True)
    }
    assert touching["Right back door"] == ["Right front door", "Right back window"]
    # It also touches the windshield, which is on neither side.
    assert touching["Left front window"] == ["Left front door", "Left back window"]
    assert touching["Front window"] == ["Left front window", "Right front window"]
    assert touching["Plate"] == []
