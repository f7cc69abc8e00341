import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sav

ROOT = Path(__file__).parents[2]
NO_NETWORK = """
import socket

def refuse(*_):
    raise SystemExit("a connection was opened")

socket.socket.connect = socket.socket.connect_ex = refuse
"""


@pytest.fixture
def doctor(tmp_path):
    """Runs it in an empty folder without a network, before all packages those of tmp_path/fake."""
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "sitecustomize.py").write_text(NO_NETWORK)

    def run(*words, command="doctor"):
        paths = os.pathsep.join(map(str, (fake, ROOT)))
        environment = {**os.environ, "PYTHONPATH": paths, "SAV_ENGINE": "builtin"}
        environment.pop("SAV_DATASETS", None)
        line = [sys.executable, "-m", "sav.cli", command, *map(str, words)]
        options = {"capture_output": True, "text": True, "cwd": tmp_path}
        return subprocess.run(line, check=False, env=environment, **options)

    return run


def test_where_everything_is_there_it_is_ready(doctor, run_folder, tmp_path):
    file = tmp_path / "report.json"
    done = doctor("--model", run_folder, "--json", file)
    report = json.loads(file.read_text())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\nready\n")
    assert report["format"] == "sav-doctor"
    assert report["system"]["sav"]["value"] == f"{sav.__version__} ({ROOT / 'sav'})"
    assert report["engine"]["engine"]["value"].endswith("because SAV_ENGINE is builtin")
    assert report["compute"]["threads"]["value"] >= 1
    assert "trained on: noise" in report["models"][str(run_folder)]["value"]


def test_without_torch_it_says_so_and_how_to_mend_it(doctor, tmp_path):
    (tmp_path / "fake" / "torch.py").write_text("raise ImportError('libcudart.so is missing')")
    done = doctor("--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert not report["ready"]
    torch = report["packages"]["torch"]
    assert torch["status"] == "wrong"
    assert "libcudart.so is missing" in torch["value"]
    assert torch["mend"].startswith("pip install")
    wrong = {
        name
        for section in report.values()
        if isinstance(section, dict)
        for name, item in section.items()
        if item["status"] == "wrong"
    }
    assert wrong == {"torch"}
    (error,) = done.stderr.splitlines()
    assert error.startswith("error: not ready: torch (pip install")


def test_a_run_folder_that_is_not_there_is_the_last_line(doctor, tmp_path):
    (tmp_path / "fake" / "numpy.py").write_text("raise ImportError('broken')")
    done = doctor("--model", tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stdout.endswith("to mend it: give --model the OUTPUT_DIR of a training\n")


def test_no_file_of_others_is_overwritten(doctor, tmp_path):
    (tmp_path / "mine.json").write_text("{}")
    done = doctor("--json", "mine.json")
    assert done.returncode == 1
    assert "there is something else" in done.stderr
    assert (tmp_path / "mine.json").read_text() == "{}"


def test_other_commands_name_the_package_that_is_missing(doctor, tmp_path):
    (tmp_path / "fake" / "torch.py").write_text("raise ImportError('libcudart.so is missing')")
    done = doctor("photo.jpg", command="predict")
    assert done.returncode == 1
    expected = (
        "error: libcudart.so is missing; 'sav doctor' says what is missing and how to get it\n"
    )
    assert done.stderr == expected
