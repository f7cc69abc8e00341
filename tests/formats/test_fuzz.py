"""No file of any format, however it is spoiled, ends the process, hangs it or takes all memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sav.formats.registry import FORMATS
from tests.formats.fuzzing import GIBIBYTE

SECONDS = float(os.environ.get("SAV_FUZZ_SECONDS", "180"))


def fuzz(name, folder, seconds):
    command = [sys.executable, "-m", "tests.formats.fuzzing", name, folder]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], cwd=root, capture_output=True, text=True, check=False
    )
    log = folder / "log"
    number = log.read_text() if log.exists() else "0"
    assert done.returncode == 0, f"--start {number}: {done.returncode}\n{done.stderr}"
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["memory"] < GIBIBYTE, report
    assert report["read"] > 0
    return report


@pytest.mark.parametrize("name", FORMATS)
def test_spoiled_files_for_a_moment(name, tmp_path):
    fuzz(name, tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(3 * SECONDS + 300)
@pytest.mark.parametrize("name", FORMATS)
def test_spoiled_files(name, tmp_path):
    fuzz(name, tmp_path, SECONDS)
