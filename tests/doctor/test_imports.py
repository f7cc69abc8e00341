"""The probe, run on packages that are broken in the ways packages are."""

import pytest

from sav.doctor.imports import try_imports
from sav.doctor.probe import STEPS

GONE = "raise ImportError('libgone.so: cannot open shared object file')"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Puts Python files in the place of packages; all that the probe tries fail fast."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def replace(**sources):
        modules = ("numpy", "torch", "torchvision", "cv2", "faiss", "pycocotools", "PIL", "scipy")
        for name in (*modules, "safetensors"):
            (tmp_path / f"{name}.py").write_text(sources.get(name, GONE))

    return replace


def test_an_import_that_fails_is_named_and_what_needs_it_is_not_blamed(packages):
    packages(numpy="", PIL="", safetensors="print('a greeting')")
    outcomes = try_imports()
    assert list(outcomes) == list(STEPS)
    assert outcomes["numpy"].works
    assert outcomes["safetensors"].works
    assert outcomes["torch"].error.startswith("ImportError: libgone.so")
    assert outcomes["torchvision"].because_of == "torch"
    assert outcomes["engine"].because_of == "torch"
    assert outcomes["faiss"].error


def test_an_import_that_ends_the_process_is_named_and_the_others_are_tried(packages):
    packages(numpy="", faiss="import os; os.abort()", cv2="import os; os._exit(3)", scipy="")
    outcomes = try_imports()
    assert outcomes["faiss"].error == "ends the process (SIGABRT)"
    assert outcomes["opencv"].error == "ends the process (exit code 3)"
    assert outcomes["numpy"].works
    assert outcomes["safetensors"].error.startswith("ImportError")


def test_an_import_that_never_ends_is_named(packages):
    packages(numpy="", torch="import time; time.sleep(600)")
    outcomes = try_imports(seconds=5)
    assert outcomes["torch"].error == "does not end within 5 seconds"
    assert outcomes["torchvision"].because_of == "torch"
    assert outcomes["pillow"].error.startswith("ImportError")


def test_what_is_not_installed_is_not_excused_by_what_it_needs(packages):
    packages(torch="raise ModuleNotFoundError('no torch', name='torch')")
    outcomes = try_imports()
    assert outcomes["torch"].error == "not installed"
    assert outcomes["faiss"].because_of == "numpy"
