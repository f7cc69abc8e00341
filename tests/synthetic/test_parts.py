import numpy as np
import pytest

from sav.errors import SAVError
from sav.ontology import available_ontologies
from sav.synthetic import FINE_PARTS, load_mapping
from sav.synthetic.parts import PART_ID, swap_sides

# Classes that say "a light" or "a door" without the side: a renderer always knows the side.
_SIDELESS = {"back_door", "back_light", "front_door", "front_light", "object"}


@pytest.mark.parametrize("name", available_ontologies())
def test_every_ontology_class_can_be_rendered(name):
    mapping = load_mapping(name)
    reached = {mapping.ontology.class_names[v - 1] for v in mapping.class_values if v}
    assert set(mapping.ontology.class_names) - reached <= _SIDELESS


@pytest.mark.parametrize("name", available_ontologies())
def test_mapping_keeps_sides(name):
    mapping = load_mapping(name)
    mirror = np.array([0, *(i + 1 for i in mapping.ontology.mirror_ids)])
    assert np.array_equal(mapping.class_values[swap_sides()], mirror[mapping.class_values])


def test_wheels_and_plates_are_counted_one_by_one():
    mapping = load_mapping("vehicleseg10k")
    wheels = [mapping.instance_keys[PART_ID[p]] for p in FINE_PARTS if p.endswith("wheel")]
    assert len(set(wheels)) == 4
    windows = ("left_back_window", "left_quarter_window")
    assert len({int(mapping.instance_keys[PART_ID[p]]) for p in windows}) == 1


def test_plate_on_a_bumper_is_no_second_bumper():
    mapping = load_mapping("dsmlr")
    bumper, plate = (mapping.instance_keys[PART_ID[p]] for p in ("front_bumper", "front_plate"))
    assert bumper == plate


def test_unknown_ontology_is_a_user_error():
    with pytest.raises(SAVError, match="no mapping"):
        load_mapping("bicycle")
