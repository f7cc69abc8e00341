"""``--json``: the standard output has JSON and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sav.cli import dispatch
from sav.commands.json_output import STDOUT, json_output
from sav.errors import SAVError
from sav.ontology import load_ontology

from ..engine.toy import draw

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("catalogs_as_before")


@pytest.fixture
def annotations(tmp_path):
    draw(tmp_path / "vans", "train", 3)
    return tmp_path / "vans" / "train.json"


@pytest.fixture
def report(capfd):
    """Runs a command with --json; its output, all of it, and what went to the error stream."""

    def run(*words):
        dispatch([*map(str, words), "--json"])
        out, err = capfd.readouterr()
        return json.loads(out), err

    return run


def test_graph_show_and_check(report, tmp_path, capfd):
    contents, said = report("graph", "show", "dsmlr")
    ontology = load_ontology("dsmlr")
    assert contents["format"] == "sav-graph"
    assert [one["name"] for one in contents["classes"]] == ontology.class_names
    assert len(contents["relations"]) == len(ontology.relations)
    assert contents["view_of"] == "vehicle"
    assert "relations, derived ones included" in said
    assert report("graph", "check", "vehicle")[0]["valid"] is True
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\n")
    with pytest.raises(SAVError):
        dispatch(["graph", "check", str(bad), "--json"])
    contents = json.loads(capfd.readouterr().out)
    assert contents["valid"] is False
    assert "bad.yaml" in contents["error"]


def test_gallery_inspect_and_query(report, run_folder, photos, tmp_path):
    contents, said = report("gallery", "inspect", run_folder)
    assert contents["vehicles"] == 2
    assert contents["folder"] == str(run_folder / "gallery")
    assert "2 vehicles\n" in said
    picture = tmp_path / "picture.png"
    words = ("--model", run_folder, "--device", "cpu", "--output", picture)
    contents, said = report("gallery", "query", photos / "one.png", *words)
    assert contents["picture"] == str(picture)
    assert {"similarity", "mirrored", "vehicle"} < contents["neighbours"][0].keys()
    assert f"drawn: {picture}" in said


def test_check(report, annotations):
    contents, said = report("check", annotations, "--no-model")
    assert contents["format"] == "sav-check"
    assert contents["photos"] == 3
    assert "3 photos" in said


def test_compare(report, annotations, tmp_path):
    folder = tmp_path / "compared"
    words = ("compare", annotations, f"same={annotations}", "--draws", "2", "--output", folder)
    contents, said = report(*words)
    assert contents["models"]["same"]["figures"]["mIoU"] == 100
    assert "| same" in said
    raw = json.loads((folder / "results.json").read_text())
    assert contents == {"format": "sav-compare", **raw}


def test_eval_and_its_log(annotations, run_folder, tmp_path):
    folder = tmp_path / "eval"
    words = ["eval", "--json", "--model", run_folder, "OUTPUT_DIR", folder]
    data = ["DATASETS.PARTS.vans", annotations, "DATASETS.TEST", "('vans',)"]
    words += [*data, "DATASETS.TRAIN", "('vans',)", "MODEL.DEVICE", "cpu"]
    command = [sys.executable, "-m", "sav.cli", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    contents = json.loads(done.stdout)
    assert contents["output"] == str(folder)
    assert contents["results"] == json.loads((folder / "results.json").read_text())
    assert contents["results"]["vans"]["parts"]["mIoU"] >= 0
    assert "Engine: " in done.stderr


def test_a_file_is_replaced_only_if_it_is_of_the_same_command(tmp_path, capsys):
    file = tmp_path / "graph.json"
    words = ["graph", "show", "--json", str(file)]
    dispatch(words)
    dispatch(words)
    assert "relations" in capsys.readouterr().out
    assert json.loads(file.read_text())["format"] == "sav-graph"
    with pytest.raises(SAVError, match="there is something else"):
        dispatch(["gallery", "inspect", str(tmp_path), "--json", str(file)])


def test_child_processes_and_libraries_do_not_disturb_it(capfd):
    with json_output(STDOUT) as write_json:
        write_json("{}")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        os.write(1, b"from a library\n")
        sys.stdout.write("from Python\n")
    out, err = capfd.readouterr()
    assert out == "{}"
    assert {"from a child", "from a library", "from Python"} <= set(err.splitlines())
