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


def test_a_stopped_command_leaves_no_child():
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as job:
        assert job.stdout.readline() == b"here\n"
        job.terminate()
        # The pipes close when the child, too, is gone.
        _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors) == (143, b"")


if __name__ == "__main__":
    run_command(wait_for_a_child)
