import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from sav.errors import SAVError
from sav.process import run_command

CHILD = "import time; print('here', flush=True); time.sleep(600)"


@pytest.fixture(autouse=True)
def _same_handler_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def exit_of(main):
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    return caught.value.code


def fail(error):
    def main():
        raise error

    return main


def test_user_errors_are_one_line(capsys):
    assert exit_of(fail(SAVError("a.json:\n  broken; mend it"))) == 1
    assert capsys.readouterr().err == "error: a.json: broken; mend it\n"


def test_interrupts_and_success(capsys):
    assert exit_of(fail(KeyboardInterrupt())) == 130
    assert exit_of(lambda: None) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_bugs_keep_their_traceback():
    with pytest.raises(ZeroDivisionError):
        run_command(fail(ZeroDivisionError()))


def test_files_and_disks_are_the_users_to_mend(tmp_path, capsys):
    assert exit_of(lambda: (tmp_path / "gone" / "a.txt").write_text("")) == 1
    assert exit_of(fail(OSError(errno.ENOSPC, "No space left on device"))) == 1
    error, full = capsys.readouterr().err.splitlines()
    assert error.endswith("a.txt: cannot be read or written: No such file or directory")
    assert full == "error: cannot be read or written: No space left on device"


def test_names_that_are_no_text_can_be_printed(capsysbinary):
    assert exit_of(lambda: sys.stdout.write(os.fsdecode(b"\xff.jpg"))) == 0
    assert capsysbinary.readouterr().out == b"\\udcff.jpg"


def test_a_reader_that_has_had_enough_is_no_error():
    command = f"{sys.executable} -m {__name__} lines | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"a line\n", b"")


class Broken(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise SAVError("photo.jpg: not an image")


def test_errors_in_loader_workers_are_one_line_too(capsys):
    loader = torch.utils.data.DataLoader(Broken(), num_workers=1)
    assert exit_of(lambda: list(loader)) == 1
    assert capsys.readouterr().err == "error: photo.jpg: not an image\n"


def wait_for_a_child():
    subprocess.run([sys.executable, "-c", CHILD], check=True)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGTERM, 143, b""), (signal.SIGINT, 130, b"interrupted\n")],
)
def test_a_stopped_command_leaves_no_child(number, code, said):
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert job.stdout.readline() == b"here\n"
        job.send_signal(number)
        # The pipes close when the child, too, is gone.
        _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (code, said)


def write_lines():
    for _ in range(100_000):
        sys.stdout.write("a line\n")


if __name__ == "__main__":
    # What a shell starts in the background ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_command(write_lines if "lines" in sys.argv else wait_for_a_child)
