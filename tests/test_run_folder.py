import subprocess
import sys

import pytest

from sav.errors import SAVError
from sav.run_folder import check_unused, locked

HOLD = """
import sys
from pathlib import Path
from sav.run_folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize(
    "name",
    ["model_final.safetensors", "model_final.pth", "model_0000009.pth", "last_checkpoint"],
)
def test_a_folder_with_a_training_is_refused(tmp_path, name):
    (tmp_path / "log.txt").write_text("")
    check_unused(tmp_path)
    (tmp_path / name).write_text("")
    with pytest.raises(SAVError, match=rf"{name}: .*--resume, or choose another OUTPUT_DIR"):
        check_unused(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no record locks")
def test_one_process_at_a_time_writes_to_a_folder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(SAVError, match="another training or evaluation is writing"):
            locked(tmp_path / "run").__enter__()
        other.kill()  # nothing is left behind that would have to be removed
    with locked(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match=r"file is not a folder"):
        locked(tmp_path / "file" / "run").__enter__()
