"""Whole jobs of several processes, started as users start them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN_NET = REPOSITORY / "projects" / "SAV" / "train_net.py"
TORCHRUN = ("-m", "torch.distributed.run")
PATIENCE = 300

# train_net.py, but the last process kills itself in iteration 4 of its first life; the first one
# notes which iterations it starts.
KILLED_ONCE = """
import os
import signal
from pathlib import Path

from sav.d2 import HookBase, comm
from sav.engine.run import argument_parser, run
from sav.engine.trainer import Trainer
from sav.process import run_command

folder = Path(__file__).parent
build_hooks = Trainer.build_hooks


class KilledOnce(HookBase):
    def before_step(self):
        if comm.get_rank() == 0:
            with (folder / "iterations").open("a") as file:
                file.write(f"{self.trainer.iter} ")
        elif self.trainer.iter == 4 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)


Trainer.build_hooks = lambda trainer: [*build_hooks(trainer), KilledOnce()]
run_command(lambda: run(argument_parser().parse_args()))
"""


def options(root, output, *more):
    data = ["--config-file", root / "toy.yaml", "OUTPUT_DIR", output, "DATASETS.ROOT", root]
    return [str(word) for word in (*data, *more)]


def start(*command):
    """Start Python with this test's engine."""
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
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


def test_torchrun_goes_on_by_itself_when_a_process_is_killed(root, two_machines, tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(KILLED_ONCE)
    where = ("--nnodes", 2, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"localhost:{free_port()}")
    agent = (*TORCHRUN, *where, "--local-addr", "127.0.0.1", "--max-restarts", 1, driver)
    succeed(*(start(*agent, *options(root, tmp_path / "run")) for _ in range(2)))
    assert (tmp_path / "killed").is_file()
    iterations = [int(word) for word in (tmp_path / "iterations").read_text().split()]
    assert iterations in ([0, 1, 2, 3, 3, 4, 5], [0, 1, 2, 3, 4, 3, 4, 5])
    assert_same_weights(tmp_path / "run", two_machines)
