import importlib.util
import os
import subprocess
import sys

import pytest

import sav.d2
from sav.d2.engine_choice import choose_engine
from sav.errors import SAVError

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


def test_both_engines_export_the_same_names():
    from sav.d2 import builtin

    missing = [name for name in builtin.__all__ if not hasattr(sav.d2, name)]
    assert missing == []
