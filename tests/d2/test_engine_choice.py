import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sav.d2
from sav.d2.engine_choice import choose_engine
from sav.errors import SAVError

DOOR = Path(sav.d2.__file__).parent
HAS_DETECTRON2 = importlib.util.find_spec("detectron2") is not None


def test_auto_prefers_the_installed_detectron2(monkeypatch):
    for value in ("auto", ""):
        monkeypatch.setenv("SAV_ENGINE", value)
        assert choose_engine() == ("detectron2" if HAS_DETECTRON2 else "builtin")


def test_unknown_engine_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("SAV_ENGINE", "detectron3")
    with pytest.raises(SAVError, match="SAV_ENGINE=detectron3") as error:
        choose_engine()
    assert "\n" not in str(error.value)


@pytest.mark.skipif(HAS_DETECTRON2, reason="detectron2 is installed")
def test_forced_but_missing_detectron2_fails_on_import():
    run = subprocess.run(
        [sys.executable, "-c", "import sav.d2"],
        env={**os.environ, "SAV_ENGINE": "detectron2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "detectron2 is not installed" in run.stderr


def test_description_names_engine_and_version():
    text = sav.d2.engine_description()
    assert text.startswith(("built-in engine (sav ", "detectron2 "))
    assert any(character.isdigit() for character in text)


def exported(engine):
    """The names that a folder of the door exports, read without importing it."""
    tree = ast.parse((DOOR / engine / "__init__.py").read_text(encoding="utf-8"))
    values = {n.targets[0].id: n.value for n in tree.body if isinstance(n, ast.Assign)}
    return ast.literal_eval(values["__all__"])


def test_both_engines_export_the_same_names():
    assert exported("builtin") == exported("original")
    assert [name for name in exported("builtin") if not hasattr(sav.d2, name)] == []


def imported(path, *prefixes):
    """What a file imports, at its top or in a function, whose full name begins with a prefix."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in names if name.startswith(prefixes)]


def test_no_other_module_knows_the_engine():
    behind = [f"sav.d2.{path.stem}" for path in DOOR.iterdir()]
    for path in DOOR.parent.rglob("*.py"):
        if DOOR not in path.parents:
            assert imported(path, "detectron2", *behind) == [], path


GROUND = ("sav.errors.", "sav.files.", "sav.process.", "sav.d2.shared")


def test_what_the_engines_share_knows_neither():
    """Both engines stand on the shared folder, and neither on the other."""
    foreign = {"shared": ("detectron2",), "builtin": ("detectron2",)}
    foreign["original"] = ("detectron2.model_zoo",)
    for folder, names in foreign.items():
        for path in (DOOR / folder).glob("*.py"):
            ours = imported(path, "sav")
            assert [n for n in ours if not n.startswith((*GROUND, f"sav.d2.{folder}"))] == [], path
            assert imported(path, "torchvision", *names) == [], path


def test_the_door_exports_what_the_project_uses_and_no_more():
    used = {
        name.removeprefix("sav.d2.")
        for folder in ("sav", "benchmarks")
        for path in (DOOR.parents[1] / folder).rglob("*.py")
        for name in imported(path, "sav.d2.")
    }
    assert [name for name in exported("builtin") if name not in used] == []
