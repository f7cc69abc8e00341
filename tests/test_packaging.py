"""What an installation of the built package holds, and that it predicts outside the checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from sav import __version__
from sav.synthetic import render_scene

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow

# In the place of a machine without a network.
_NO_NETWORK = """
import socket

def refuse(*_):
    raise OSError("a connection was opened")

socket.socket.connect = socket.socket.connect_ex = refuse
"""


def run(*words, **options):
    command = list(map(str, words))
    # A path to the checkout would make pip and Python find the package there.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    options = {"capture_output": True, "text": True, "env": environment, **options}
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: what an earlier build has left in the checkout would get into it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "sav", source / "sav", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of the commands of an environment with the wheel.

    Its dependencies are those of the environment that runs the tests, found after the wheel:
    installing torch again would take minutes and gigabytes.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt")
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    python = Path(paths["scripts"]) / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel)
    # Python follows no .pth files in what a .pth file names: the checkout stays unknown.
    tested = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    lines = "\n".join([*tested, "import no_network"])
    (Path(paths["purelib"]) / "dependencies.pth").write_text(lines)
    (Path(paths["purelib"]) / "no_network.py").write_text(_NO_NETWORK)
    return python.parent


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A working folder and a home that know nothing of the checkout."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def headers(wheel):
    with zipfile.ZipFile(wheel) as file:
        name = next(n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(file.read(name).decode())


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    information = f"segment_any_vehicle-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"sav", information}
    sources = (p for p in (ROOT / "sav").rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    assert {n for n in names if n.startswith("sav/")} == {
        source.relative_to(ROOT).as_posix() for source in sources
    }
    assert {
        "sav/py.typed",
        "sav/ontology/vehicleseg10k.yaml",
        "sav/pretrained/config.yaml",
        "sav/pretrained/model_final.safetensors",
        "sav/pretrained/gallery/gallery.json",
        "sav/pretrained/gallery/gallery.safetensors",
        "sav/synthetic/bodies.yaml",
    } <= names
    assert any(n.startswith(information) and n.endswith("/LICENSE") for n in names)
    for part in ("ontology/*.yaml", "ontology/embeddings/*.safetensors"):
        assert sum(Path(name).match(f"sav/{part}") for name in names) == 5, part
    assert not any(Path(name).name.startswith(("test_", "conftest")) for name in names)


def test_the_wheel_says_what_it_is_and_needs(wheel):
    about = headers(wheel)
    assert about["Name"] == "segment-any-vehicle"
    assert about["Version"] == __version__
    assert about["License"] == "Apache-2.0"
    needs = about.get_all("Requires-Dist")
    for extra in about.get_all("Provides-Extra"):
        assert any(f'extra == "{extra}"' in need for need in needs), f"nothing in {extra}"
    pinned = {
        line.partition("==")[0].replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    # To compile Detectron2 the newest tools do.
    for need in (need for need in needs if 'extra == "gpu"' not in need):
        name = re.match(r"[\w.-]+", need)[0].replace("_", "-")
        assert name in pinned, f"constraints.txt does not pin {name}"


def test_the_wheel_is_what_runs(installed, outside):
    code = (
        "import sys, sav, importlib.metadata as m;"
        "assert 'no_network' in sys.modules;"
        "print(sav.__file__, m.version('segment-any-vehicle'), sys.prefix, sep='\\n')"
    )
    place, version, prefix = run(installed / "python", "-c", code, cwd=outside).splitlines()
    assert Path(place).resolve().is_relative_to(Path(prefix).resolve())
    assert Path(prefix).resolve() == installed.parent.resolve()
    assert version == __version__
    assert run(installed / "sav", "--version", cwd=outside).strip() == f"sav {__version__}"


def test_it_predicts_with_nothing_but_a_photo_and_no_network(installed, outside):
    photo = render_scene(np.random.default_rng(0)).image
    Image.fromarray(photo).save(outside / "photo.jpg")
    run(installed / "sav", "predict", "photo.jpg", "--output", "out", cwd=outside)
    written = {path.name for path in (outside / "out").iterdir()}
    assert written == {"photo.json", "photo_overlay.png"}
    assert json.loads((outside / "out" / "photo.json").read_text("utf-8"))["parts"]
    with Image.open(outside / "out" / "photo_overlay.png") as picture:
        assert min(picture.size) >= min(photo.shape[:2])


def test_the_citation_names_the_software_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["license"] == "Apache-2.0"
    (paper,) = citation["references"]
    assert {"type", "title", "authors"} <= paper.keys()
    assert paper["identifiers"][0]["value"] == "arXiv:2508.04260"
