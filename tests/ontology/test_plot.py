import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sav.errors import SAVError
from sav.ontology import available_ontologies, load_ontology
from sav.ontology.mining import GRID, PriorMiner
from sav.ontology.placement import bends, place_nodes, row_of
from sav.ontology.plot import canonical_edges, plot_graph
from sav.ontology.relations import Relation
from sav.ontology.support import relation_support

ROOT = Path(__file__).parents[2]


def sizes_of(ontology):
    return np.array([(12 + 5 * len(node.name), 34.0) for node in ontology.nodes])


@pytest.mark.parametrize("name", available_ontologies())
def test_no_two_nodes_overlap(name):
    ontology = load_ontology(name)
    sizes = sizes_of(ontology)
    centres = place_nodes(ontology, sizes)
    apart = np.abs(centres[:, None] - centres[None])
    free = (apart >= (sizes[:, None] + sizes[None]) / 2).any(2)
    assert (free | np.eye(len(sizes), dtype=bool)).all()


@pytest.mark.parametrize("name", available_ontologies())
def test_the_sides_are_reflections(name):
    ontology = load_ontology(name)
    centres = place_nodes(ontology, sizes_of(ontology))
    for part, mirror in zip(ontology.classes, ontology.mirror_ids, strict=True):
        if part.side != "none":
            assert centres[mirror].tolist() == (centres[part.id] * (1, -1)).tolist()
            assert (centres[part.id, 1] > 0) == (part.side == "left")


def test_places_follow_the_positions():
    ontology = load_ontology("udapart_car")
    centres = dict(
        zip(
            (n.name for n in ontology.nodes), place_nodes(ontology, sizes_of(ontology)), strict=True
        )
    )
    assert centres["front_bumper"][0] > centres["roof"][0] > centres["back_bumper"][0]
    assert centres["roof"][1] > centres["front_bumper"][1]
    # Folded out, a side has its wheels farthest from the middle.
    assert centres["front_left_wheel"][1] > centres["front_left_window"][1]
    assert centres["front_right_wheel"][1] < centres["front_right_window"][1]
    rows = [row_of(node) for node in ontology.nodes]
    assert rows.count(1) == rows.count(-1) == 11


def test_ways_go_round_nodes_and_mirror_images_alike():
    centres = np.array([[0, 50], [100, 50], [200, 50], [0, -50], [100, -50], [200, -50]], float)
    sizes = np.full((6, 2), (60.0, 30.0))
    mirrors = [3, 4, 5, 0, 1, 2]
    bent = bends([(0, 1), (0, 2), (3, 5), (5, 3)], mirrors, centres, sizes)
    assert bent[0, 1] == 0
    assert bent[0, 2] != 0
    assert bent[3, 5] == -bent[0, 2]
    assert bent[5, 3] == bent[0, 2]


def test_every_fact_is_drawn_once():
    ontology = load_ontology("dsmlr")
    edges = canonical_edges(ontology)
    ends = [(min(a, b), max(a, b), predicate) for a, b, predicate in edges]
    assert len(set(ends)) == len(ends)
    left_of_mirrors = sum(part.side == "left" for part in ontology.classes)
    assert len(ontology.relations) == 2 * (len(edges) + left_of_mirrors)


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


def test_pictures_are_written_and_repeat(tmp_path):
    ontology = load_ontology("vehicleseg10k")
    for name in ("one.png", "one.svg", "other.svg", "one.pdf"):
        plot_graph(ontology, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes().startswith(b"%PDF")
    picture = np.asarray(Image.open(tmp_path / "one.png").convert("RGB"))
    for part in ontology.classes:
        assert (picture == part.color).all(-1).sum() > 1000, part.name
    text = (tmp_path / "one.svg").read_text()
    assert "Foreground" in text
    assert "mirror of" in text


def test_other_pictures_are_refused(tmp_path):
    with pytest.raises(SAVError, match=r"graph\.gif: pictures are \.png, \.svg, \.pdf"):
        plot_graph(load_ontology("dsmlr"), tmp_path / "graph.gif")


def test_matplotlib_is_imported_for_pictures_only():
    code = (
        "import sys, sav, sav.ontology.plot, sav.data.graph; sys.exit('matplotlib' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert done.returncode == 0
