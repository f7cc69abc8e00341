import pickle
from pathlib import Path

import networkx as nx
import pytest

from sav.errors import SAVError
from sav.ontology import Relation, available_ontologies, load_ontology
from sav.ontology.relations import INVERSE

SIZES = {"vehicle": 38, "vehicleseg10k": 13, "dsmlr": 18, "udapart_car": 31, "carparts_seg": 23}

BICYCLE = """\
name: bicycle
classes:
  - id: 0
    name: frame
    description: tubes
    color: [1, 2, 3]
  - id: 1
    name: left pedal
    description: pedal
    color: [4, 5, 6]
    side: left
    mirror: right pedal
    position: [0, 0.5, 0]
  - id: 2
    name: right pedal
    description: pedal
    color: [7, 8, 9]
    side: right
    mirror: left pedal
    position: [0, -0.5, 0]
relations:
  - [left pedal, left_of, frame]
  - [left pedal, part_of, frame]
"""


def write(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in BICYCLE
    path = tmp_path / "bicycle.yaml"
    path.write_text(BICYCLE.replace(old, new, 1) if old else BICYCLE)
    return path


def test_shipped_ontologies_load_with_their_number_of_classes():
    assert {name: len(load_ontology(name)) for name in available_ontologies()} == SIZES


def test_vehicleseg10k_has_the_order_of_its_index_masks():
    names = load_ontology("vehicleseg10k").class_names
    assert names[:5] == ["Foreground", "Plate", "Wheel", "Front window", "Back window"]
    assert names[5:9] == [
        "Left front window",
        "Left front door",
        "Left back window",
        "Left back door",
    ]


@pytest.mark.parametrize("name", SIZES)
def test_shipped_ontologies_are_symmetric_and_closed(name):
    ontology = load_ontology(name)
    mirror = {part.name: part.mirror for part in ontology.classes if part.mirror}
    facts = set(ontology.relations)
    assert all(ontology.mirror_ids[m] == i for i, m in enumerate(ontology.mirror_ids))
    assert all(fact.inverse() in facts and fact.mirrored(mirror) in facts for fact in facts)
    assert len(set(ontology.colors)) == len(ontology)
    linked = {fact.subject for fact in facts}
    assert set(ontology.class_names) - linked <= {"object"}


@pytest.mark.parametrize("name", SIZES)
def test_names_agree_with_sides(name):
    for part in load_ontology(name).classes:
        words = part.name.lower().replace("_", " ").split()
        assert (part.side == "left") == ("left" in words)
        assert (part.side == "right") == ("right" in words)
        y = part.position[1]
        assert y > 0 if part.side == "left" else y < 0 if part.side == "right" else y == 0


def test_inverses_are_mutual():
    assert all(INVERSE[INVERSE[predicate]] == predicate for predicate in INVERSE)


def test_left_of_becomes_right_of_on_the_other_side(tmp_path):
    facts = load_ontology(write(tmp_path)).relations
    assert Relation("right pedal", "right_of", "frame") in facts
    assert Relation("frame", "left_of", "right pedal") in facts
    assert Relation("right pedal", "part_of", "frame") in facts


def test_bodies_are_what_classes_are_part_of(tmp_path):
    assert load_ontology(write(tmp_path)).body_ids == (0,)
    assert load_ontology("vehicleseg10k").body_ids == (0,)
    assert load_ontology("dsmlr").body_ids == ()


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("mirror: right pedal", "mirror: saddle", 7, "mirror 'saddle' is not a class"),
        ("    mirror: left pedal\n", "", 7, "but not the reverse"),
        ("color: [1, 2, 3]", "color: [1, 2, 3]\n    side: left", 3, "has a side but no mirror"),
        ("side: right", "side: left", 7, "opposite sides"),
        ("[0, -0.5, 0]", "[0, -0.4, 0]", 7, "mirrored positions"),
        ("id: 2", "id: 5", 14, "ids count from 0: 2"),
        ("[1, 2, 3]", "[1, 2, 300]", 3, "integers from 0 to 255"),
        ("name: right pedal\n    desc", "name: frame\n    desc", 14, "used twice"),
        ("left_of, frame", "left_of, saddle", 22, "neither a class nor a concept"),
        ("left_of, frame", "near, frame", 22, "unknown relation 'near'"),
        ("left_of, frame]", "right_of]", 22, "[subject, predicate, object]"),
        ("part_of, frame]", "right_of, frame]", 22, "contradicts"),
        ("description: tubes", "descripton: tubes", 3, "unknown key 'descripton'"),
        ("classes:", "classes: [", 3, "not valid YAML"),
        ("mirror: right pedal", "mirror: [right pedal]", 7, "is not a class"),
        ("classes:", "concepts:\nclasses:", 1, "'concepts' must be a list"),
        ("name: bicycle", "name: bicycle\x00", 1, "not valid YAML: characters"),
    ],
)
def test_errors_name_the_file_and_the_line(tmp_path, old, new, line, words):
    path = write(tmp_path, old, new)
    with pytest.raises(SAVError) as caught:
        load_ontology(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert words in str(caught.value)


def test_relation_to_itself_contradicts(tmp_path):
    with pytest.raises(SAVError, match="contradicts"):
        load_ontology(
            write(tmp_path, "left_of, frame", "left_of, right pedal]\n  - [frame, above, frame")
        )


def test_unknown_ontology_lists_the_shipped_ones():
    with pytest.raises(SAVError, match="vehicleseg10k"):
        load_ontology("no_such_vocabulary")


def test_unknown_class_is_an_error():
    with pytest.raises(SAVError, match="no class 'wing'"):
        load_ontology("dsmlr").class_id("wing")


def test_graph_has_every_node_and_relation():
    ontology = load_ontology("dsmlr")
    graph = ontology.graph
    assert list(graph.nodes) == [node.name for node in ontology.nodes]
    assert [graph.nodes[part.name]["id"] for part in ontology.classes] == list(range(18))
    assert graph.nodes["front_left_door"]["side"] == "left"
    assert "id" not in graph.nodes[ontology.concepts[0].name]
    edges = {Relation(a, predicate, b) for a, b, predicate in graph.edges(keys=True)}
    assert graph.number_of_edges() == len(edges) == len(ontology.relations)
    assert edges == set(ontology.relations)
    assert graph.has_edge("trunk", "back_bumper", "above")


def test_graph_is_made_once_and_cannot_be_changed():
    ontology = load_ontology("dsmlr")
    assert ontology.graph is ontology.graph
    with pytest.raises(nx.NetworkXError):
        ontology.graph.add_edge("trunk", "hood", "above")
    # Data loader workers get a copy of the vocabulary.
    copy = pickle.loads(pickle.dumps(ontology))
    assert copy == ontology
    assert list(copy.graph.edges(keys=True)) == list(ontology.graph.edges(keys=True))
