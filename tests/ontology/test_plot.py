import numpy as np
import pytest
from PIL import Image

from sav.errors import SAVError
from sav.ontology import load_ontology
from sav.ontology.plot import drawn_relations, plot_graph


def test_pictures_are_written_and_repeat(tmp_path):
    ontology = load_ontology("vehicleseg10k")
    for name in ("one.png", "other.png", "one.svg", "other.svg", "one.pdf", "other.pdf"):
        plot_graph(ontology, tmp_path / name)
    for suffix in ("png", "svg", "pdf"):
        one, other = tmp_path / f"one.{suffix}", tmp_path / f"other.{suffix}"
        assert one.read_bytes() == other.read_bytes()
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


def test_every_fact_is_drawn_once():
    ontology = load_ontology("dsmlr")
    drawn = drawn_relations(ontology)
    ends = [(*sorted((r.subject, r.object)), r.predicate) for r in drawn]
    assert len(set(ends)) == len(ends)
    left_of_mirrors = sum(part.side == "left" for part in ontology.classes)
    assert len(ontology.relations) == 2 * (len(drawn) + left_of_mirrors)
