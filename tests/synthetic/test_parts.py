from pathlib import Path

import numpy as np
import pytest

from sav.errors import SAVError
from sav.ontology import View, available_ontologies, load_ontology
from sav.synthetic import FINE_PARTS, load_mapping
from sav.synthetic.parts import GRAPH, PART_ID, swap_sides

# Classes that say "a light" or "a door" without the side: a renderer always knows the side.
_SIDELESS = {"back_door", "back_light", "front_door", "front_light", "object"}


def parts_of(table):
    return {name for name in FINE_PARTS if table[PART_ID[name]]}


@pytest.mark.parametrize("name", available_ontologies())
def test_every_ontology_class_can_be_rendered(name):
    mapping = load_mapping(name)
    reached = {mapping.ontology.class_names[rule.class_id] for rule in mapping.rules}
    assert set(mapping.ontology.class_names) - reached <= _SIDELESS
    assert not any(rule.extent[0] for rule in mapping.rules)


@pytest.mark.parametrize("name", available_ontologies())
def test_mapping_keeps_sides(name):
    mapping = load_mapping(name)

    def known(class_ids, tables):
        return {
            (class_ids[rule.class_id], *(getattr(rule, key)[tables].tobytes() for key in keys))
            for rule in mapping.rules
        }

    keys = ("shows", "extent")
    itself = known(range(len(mapping.ontology)), slice(None))
    assert known(mapping.ontology.mirror_ids, swap_sides()) == itself
    assert len(itself) == len(mapping.rules)


@pytest.mark.parametrize("name", available_ontologies())
def test_masks_are_the_unions_of_the_view(name):
    mapping = load_mapping(name)
    view = View.of(load_ontology(name), GRAPH)
    sided = {view.vocabulary.class_names[rule.class_id] for rule in mapping.rules}
    for part, union in zip(view.vocabulary.classes, view.unions, strict=True):
        rules = [rule for rule in mapping.rules if rule.class_id == part.id]
        if part.id in view.vocabulary.body_ids:
            assert [parts_of(rule.shows) for rule in rules] == [set(FINE_PARTS)]
        elif part.name in sided:
            groups = [{name} for name in union.parts] if union.each else [set(union.parts)]
            assert [parts_of(rule.shows) for rule in rules] == groups
            assert all(
                parts_of(rule.extent) == shown | set(union.attached)
                for rule, shown in zip(rules, groups, strict=True)
            )


def test_a_plate_is_no_bumper_but_belongs_to_its_mask():
    mapping = load_mapping("dsmlr")
    (bumper,) = (
        r for r in mapping.rules if r.class_id == mapping.ontology.class_id("front_bumper")
    )
    assert parts_of(bumper.shows) == {"front_bumper", "grille"}
    assert parts_of(bumper.extent) == {"front_bumper", "grille", "front_plate"}


def test_a_vocabulary_of_ones_own_is_rendered_too(tmp_path):
    path = tmp_path / "glass.yaml"
    path.write_text(
        "name: glass\nview_of: vehicle\nclasses:\n"
        "  - {id: 0, name: screens, description: glass, color: [1, 2, 3],\n"
        "     each: [windshield, rear_window]}\n"
    )
    rules = load_mapping(str(path)).rules
    assert [parts_of(rule.extent) for rule in rules] == [{"windshield"}, {"rear_window"}]


def test_only_views_of_the_graph_are_rendered():
    with pytest.raises(SAVError, match="bicycle: no such ontology"):
        load_mapping("bicycle")
    own = Path(__file__).parents[1] / "ontology" / "bicycle.yaml"
    with pytest.raises(SAVError, match="bicycle: it is a graph of its own, not a view of vehicle"):
        load_mapping(str(own))


def test_sides_are_swapped_and_nothing_else():
    table = swap_sides()
    assert table[0] == 0
    assert np.array_equal(table[table], np.arange(len(FINE_PARTS) + 1))
    for name in FINE_PARTS:
        side, _, part = name.partition("_")
        other = {"left": "right", "right": "left"}.get(side, side)
        assert table[PART_ID[name]] == PART_ID["_".join(filter(None, (other, part)))]
