"""Whole jobs of several processes, started as users start them."""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN_NET = REPOSITORY / "projects" / "SAV" / "train_net.py"
TORCHRUN = ("-m", "torch.distributed.run")
PATIENCE = 300

# train_net.py, but in its first life the last process sends a signal in iteration 4. The first one
# notes which iterations it starts.
STRUCK_ONCE = """
import os
import signal
import sys
import time
from pathlib import Path

from sav.d2 import HookBase, comm
from sav.engine.arguments import argument_parser
from sav.engine.run import run
from sav.engine.trainer import Trainer
from sav.process import run_command

folder = Path(__file__).parent
build_hooks = Trainer.build_hooks
SEND = {
    "itself": lambda number: os.kill(os.getpid(), number),
    "the job": lambda number: os.kill(os.getppid(), number),
    "the terminal": lambda number: os.killpg(0, number),
}


class StruckOnce(HookBase):
    def before_step(self):
        if comm.get_rank() == 0:
            with (folder / "iterations").open("a") as file:
                file.write(f"{self.trainer.iter} ")
        elif self.trainer.iter == 4 and not (folder / "struck").exists():
            (folder / "struck").touch()
            name, _, whom = os.environ["STRIKE"].partition(" to ")
            SEND[whom](getattr(signal, name))
            while not self.trainer.stop._noted:
                time.sleep(0.01)


Trainer.build_hooks = lambda trainer: [*build_hooks(trainer), StruckOnce()]
if __name__ == "__main__":
    # What a shell runs in the background ignores interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_command(lambda: run(argument_parser().parse_args()))
"""


def options(root, output, *more):
    data = ["--config-file", root / "toy.yaml", "OUTPUT_DIR", output, "DATASETS.ROOT", root]
    return [str(word) for word in (*data, *more)]


def start(*command, **environment):
    """Start Python with this test's engine, as from a terminal of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **environment},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def succeed(*jobs):
    """Wait for all processes of the jobs."""
    try:
        for job in jobs:
            _, errors = job.communicate(timeout=PATIENCE)
            assert job.returncode == 0, errors
    finally:
        for job in jobs:
            job.terminate()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def assert_same_weights(output, other):
    one, two = (load_file(folder / "model_final.safetensors") for folder in (output, other))
    assert one.keys() == two.keys()
    assert [name for name, value in one.items() if not torch.equal(value, two[name])] == []


@pytest.fixture(scope="module")
def two_machines(root, tmp_path_factory):
    """The run of two launchers, one process each."""
    output = tmp_path_factory.mktemp("machines")
    where = ("--num-machines", 2, "--dist-url", f"tcp://127.0.0.1:{free_port()}", "--machine-rank")
    succeed(*(start(TRAIN_NET, *where, rank, *options(root, output)) for rank in (0, 1)))
    return output


def test_several_machines_train_one_model(two_machines):
    assert (two_machines / "model_final.safetensors").is_file()
    assert "World size: 2" in (two_machines / "log.txt").read_text()
    assert "Rank of current process: 1" in (two_machines / "log.txt.rank1").read_text()


@pytest.fixture
def driver(tmp_path):
    path = tmp_path / "driver.py"
    path.write_text(STRUCK_ONCE)
    return path


def test_torchrun_goes_on_by_itself_when_a_process_is_killed(root, two_machines, driver, tmp_path):
    where = ("--nnodes", 2, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}")
    agent = (*TORCHRUN, *where, "--local-addr", "127.0.0.1", "--max-restarts", 1, driver)
    run = (*agent, *options(root, tmp_path / "run"))
    succeed(*(start(*run, STRIKE="SIGKILL to itself") for _ in range(2)))
    assert (tmp_path / "struck").is_file()
    iterations = [int(word) for word in (tmp_path / "iterations").read_text().split()]
    assert iterations in ([0, 1, 2, 3, 3, 4, 5], [0, 1, 2, 3, 4, 3, 4, 5])
    assert_same_weights(tmp_path / "run", two_machines)


@dataclass(frozen=True)
class Stop:
    """A signal in iteration 4, and what comes of it; checkpoints are due after 2 and 5."""

    strike: str
    code: int
    message: str
    checkpoint: str = "model_0000004.pth"


STOPS = [
    Stop("SIGTERM to the job", 143, "stopping after this iteration"),
    Stop("SIGTERM to itself", 143, ""),
    Stop("SIGINT to the terminal", 130, "interrupted"),
    Stop("SIGKILL to itself", 1, "error: process 1 was ended by SIGKILL", "model_0000002.pth"),
]


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.strike)
def test_stopped_processes_go_on_where_they_all_were(root, two_machines, driver, tmp_path, stop):
    output = tmp_path / "run"
    command = (driver, "--num-gpus", 2, "--resume", *options(root, output))
    job = start(*command, STRIKE=stop.strike)
    _, errors = job.communicate(timeout=PATIENCE)
    assert job.returncode == stop.code, errors
    assert "Traceback" not in errors
    assert stop.message in errors
    assert (output / "last_checkpoint").read_text() == stop.checkpoint
    succeed(start(*command))
    assert_same_weights(output, two_machines)
