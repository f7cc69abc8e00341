import numpy as np
import pytest
from PIL import Image

from sav.errors import SAVError
from sav.ontology import load_ontology
from sav.ontology.plot import plot_graph


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
