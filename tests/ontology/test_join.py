import itertools

import pytest
import torch

from sav.errors import SAVError
from sav.ontology import available_ontologies, load_ontology
from sav.ontology.text import text_embeddings


@pytest.fixture(scope="module")
def both():
    return load_ontology("vehicleseg10k+dsmlr")


def test_shared_parts_are_one_class(both):
    assert len(both) == 13 + 18 - 7
    wheel = both.classes[both.class_id("wheel")]
    assert wheel.max_instances == 4
    for member, name in zip(both.joined, ("Left front door", "front_left_door"), strict=True):
        ids = both.ids_of(member)
        assert len(ids) == len(set(ids)) == len(member)
        assert both.class_names[ids[member.class_id(name)]] == "front_left_door"


@pytest.mark.parametrize("pair", list(itertools.permutations(available_ontologies(), 2)))
def test_every_pair_of_shipped_vocabularies_joins(pair):
    union = load_ontology("+".join(pair))
    assert union.name == "+".join(pair)
    assert [part.id for part in union.classes] == list(range(len(union)))
    for index, mirrored in enumerate(union.mirror_ids):
        assert union.mirror_ids[mirrored] == index
    for member in union.joined:
        ids = union.ids_of(member)
        swapped = [ids[i] for i in member.mirror_ids]
        assert swapped == [union.mirror_ids[i] for i in ids]


def test_all_relations_of_the_members_hold(both):
    held = {(r.subject, r.predicate, r.object) for r in both.relations}
    for member in both.joined:
        node = {part.name: part.node for part in member.classes}
        for r in member.relations:
            names = node.get(r.subject, r.subject), node.get(r.object, r.object)
            assert (names[0], r.predicate, names[1]) in held


def test_texts_come_from_the_members(both):
    found = text_embeddings(both)
    assert found.shape == (len(both.nodes), 384)
    first = text_embeddings(both.joined[0])
    wheel = both.joined[0].class_id("Wheel")
    assert torch.equal(found[both.class_id("wheel")], first[wheel])


def test_a_plain_vocabulary_is_its_only_one():
    ontology = load_ontology("dsmlr")
    assert ontology.vocabularies == (ontology,)
    assert ontology.ids_of(ontology) == list(range(18))


def write(path, name, side):
    sides = {"left": ("left", "right"), "right": ("right", "left")}[side]
    path.write_text(
        f"""
name: {name}
classes:
  - {{id: 0, name: a, description: a part, color: [1, 2, 3], side: {sides[0]}, mirror: b,
      position: [0, 1, 0]}}
  - {{id: 1, name: b, description: a part, color: [1, 2, 3], side: {sides[1]}, mirror: a,
      position: [0, -1, 0]}}
"""
    )
    return str(path)


def test_vocabularies_that_contradict_one_another_are_refused(tmp_path):
    first = write(tmp_path / "x.yaml", "x", "left")
    second = write(tmp_path / "y.yaml", "y", "right")
    with pytest.raises(SAVError, match=r"x\+y: 'a' of y lies on another side"):
        load_ontology(f"{first}+{second}")
    with pytest.raises(SAVError, match="the same vocabulary twice"):
        load_ontology(f"{first}+{first}")
    with pytest.raises(SAVError, match="no such ontology"):
        load_ontology(f"{first}+nowhere")


def test_two_classes_with_one_node_are_refused(tmp_path):
    path = tmp_path / "z.yaml"
    path.write_text(
        "name: z\nclasses:\n"
        "  - {id: 0, name: Rim, node: wheel, description: a, color: [1, 2, 3]}\n"
        "  - {id: 1, name: Wheel, description: b, color: [1, 2, 3]}\n"
    )
    with pytest.raises(SAVError, match=r"z\.yaml:4: 'Wheel' has the node 'wheel', as 'Rim' has"):
        load_ontology(path)
