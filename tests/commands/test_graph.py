"""``sav graph``: what it prints and writes, and one line for each mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sav.cli import dispatch
from sav.errors import SAVError
from sav.ontology import load_ontology

EMPTY = {"info": {"ontology": "dsmlr"}, "images": [], "annotations": [], "categories": []}


def test_show_counts_the_relations_of_each_class(capsys):
    dispatch(["graph", "show", "dsmlr"])
    lines = capsys.readouterr().out.splitlines()
    ontology = load_ontology("dsmlr")
    for part in ontology.classes:
        (line,) = (line for line in lines if line.split()[:2] == [str(part.id), part.name])
        subjects = [relation.subject for relation in ontology.relations]
        assert int(line.split()[5]) == subjects.count(part.name)
    assert lines[-len(ontology.relations) :] == [str(r) for r in ontology.relations]


def test_show_says_what_the_classes_of_a_view_are(capsys):
    dispatch(["graph", "show", "dsmlr"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("a view of vehicle")
    assert any(line.endswith("  tailgate + bed_gate + bed, with trunk_plate") for line in lines)
    assert any("  each of left_front_wheel, left_back_wheel" in line for line in lines)
    dispatch(["graph", "show", "vehicle"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "its views: carparts_seg, dsmlr, udapart_car, vehicleseg10k"
    bicycle = Path(__file__).parents[1] / "ontology" / "bicycle.yaml"
    dispatch(["graph", "show", str(bicycle)])
    assert "view" not in capsys.readouterr().out


def test_matplotlib_is_imported_for_pictures_only():
    code = (
        "import sys; from sav.cli import dispatch; import sav.data.mining, sav.ontology.graph;"
        "dispatch(['graph', 'show']); dispatch(['graph', 'check']);"
        "sys.exit('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_picture_needs_priors_of_the_same_vocabulary(tmp_path):
    picture = tmp_path / "graph.png"

    def refused(words, priors):
        with pytest.raises(SAVError, match=words):
            dispatch(["graph", "plot", "--priors", str(priors), "--output", str(picture)])
        assert not picture.exists()

    refused("no priors there", tmp_path / "nowhere.json")
    annotations = tmp_path / "instances.json"
    annotations.write_text(json.dumps(EMPTY))
    refused(r"instances\.json: not priors; make them with 'sav graph mine'", annotations)


def test_nothing_is_mined_from_other_files(tmp_path):
    annotations, priors = tmp_path / "instances.json", tmp_path / "priors.json"

    def refused(words, contents):
        annotations.write_text(contents)
        with pytest.raises(SAVError, match=words):
            dispatch(["graph", "mine", "--json", str(annotations), "--output", str(priors)])
        assert not priors.exists()

    refused("not the classes of dsmlr", json.dumps(EMPTY))
    refused("it names no ontology", json.dumps(EMPTY | {"info": {}}))
    names = load_ontology("dsmlr").class_names
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    refused("nothing to mine", json.dumps(EMPTY | {"categories": categories}))
