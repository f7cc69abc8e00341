import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch

from sav.d2 import build_detection_test_loader, build_detection_train_loader, comm, launch
from sav.errors import SAVError
from sav.process import run_command

from .toy import RECORDS, ToyTrainer, toy_cfg


def report(folder):
    """Run in every process: write what it saw."""
    cfg = toy_cfg(folder, IMS_PER_BATCH=2)
    test = build_detection_test_loader(cfg, "toy", dict)
    train = iter(build_detection_train_loader(cfg, dict, dataset=RECORDS))
    facts = {
        "rank": comm.get_rank(),
        "local": comm.get_local_rank(),
        "size": comm.get_world_size(),
        "main": comm.is_main_process(),
        "gathered": comm.gather(f"r{comm.get_rank()}"),
        "everywhere": comm.all_gather(comm.get_rank()),
        "seed": comm.shared_random_seed(),
        "start method": multiprocessing.get_start_method(),
        "train": [item["image_id"] for _ in range(6) for item in next(train)],
        "test": [r["image_id"] for batch in test for r in batch],
    }
    (folder / f"{comm.get_rank()}.json").write_text(json.dumps(facts))


def train(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trainer = ToyTrainer(toy_cfg(folder))
    trainer.train()
    results = trainer.evaluate()
    if comm.is_main_process():
        model = getattr(trainer.model, "module", trainer.model)
        torch.save({"model": model.state_dict(), "results": results}, folder / "end.pth")


def both(folder):
    report(folder)
    train(folder)


def complain(message):
    """One process fails while the other waits for it, and so fails as well."""
    if comm.get_rank() == 1:
        raise SAVError(message)
    comm.synchronize()


def stumble():
    if comm.get_rank() == 1:
        raise KeyError("a defect")
    comm.synchronize()


def die():
    if comm.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    comm.synchronize()


def report_and_fail(folder):
    report(folder)
    raise SAVError(f"{folder}: all see the same mistake")


def never_end(folder):
    """One process waits in Python, the other for the first one."""
    (folder / str(comm.get_rank())).touch()
    if comm.get_rank() == 0:
        time.sleep(600)
    comm.synchronize()


def start_job(*command):
    """Start this file as a job of its own; its pipe is open until its last process has ended."""
    # Tests that a shell runs in the background ignore interrupts, and what they start would too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def test_one_process_runs_in_place():
    calls = []
    launch(calls.append, 1, args=(3,))
    assert calls == [3]
    assert (comm.get_rank(), comm.get_world_size(), comm.is_main_process()) == (0, 1, True)
    assert comm.gather(5) == [5]
    assert comm.all_gather(5) == [5]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder that two processes have left; starting them is the slow part."""
    folder = tmp_path_factory.mktemp("two")
    launch(both, 2, dist_url="auto", args=(folder,))
    return folder


def test_two_processes_share_the_work(two):
    first, second = (json.loads((two / f"{i}.json").read_text()) for i in (0, 1))
    assert (first["rank"], second["rank"]) == (0, 1)
    assert (first["local"], second["local"]) == (0, 1)
    assert (first["main"], second["main"]) == (True, False)
    assert (first["gathered"], second["gathered"]) == (["r0", "r1"], [])
    assert second["everywhere"] == [0, 1]
    assert first["seed"] == second["seed"]
    # Loader workers are forked where a job of one process forks them.
    assert first["start method"] == multiprocessing.get_start_method()
    assert (first["test"], second["test"]) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    loader = iter(build_detection_train_loader(toy_cfg(two), dict, dataset=RECORDS))
    together = [item["image_id"] for _ in range(3) for item in next(loader)]
    assert (first["train"], second["train"]) == (together[0::2], together[1::2])


def test_two_processes_train_like_one(two, tmp_path):
    """The same samples and augmentations in each step, so the same weights up to rounding."""
    train(tmp_path)
    ends = [torch.load(f / "end.pth", weights_only=True) for f in (tmp_path, two)]
    for name, value in ends[0]["model"].items():
        torch.testing.assert_close(ends[1]["model"][name], value, msg=name)
    assert [end["results"]["toy"]["images"] for end in ends] == [10, 10]
    means = [end["results"]["toy"]["mean"] for end in ends]
    assert means[0] == pytest.approx(means[1])
    losses = []
    for folder in (tmp_path, two):
        with (folder / "metrics.json").open() as file:
            lines = [json.loads(line) for line in file]
        losses.append([line["total_loss"] for line in lines if "total_loss" in line])
    assert len(losses[0]) == 1
    assert losses[0] == pytest.approx(losses[1])


@pytest.mark.parametrize(
    ("function", "args", "error", "words"),
    [
        (complain, ("a.json: no images; check it",), SAVError, r"^a\.json: no images; check it$"),
        (die, (), SAVError, r"^process 1 was ended by SIGKILL; .*--resume$"),
        (stumble, (), RuntimeError, "KeyError: 'a defect'"),
    ],
)
def test_what_failed_first_is_what_the_user_sees(function, args, error, words):
    with pytest.raises(error, match=words):
        launch(function, 2, dist_url="auto", args=args)
    assert not multiprocessing.active_children()


@pytest.fixture
def port():
    """A port at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("places", "url", "words"),
    [
        ((0, 1, 0), "auto", "--num-gpus 0"),
        ((1, 0, 0), "auto", "--num-machines 0"),
        ((1, 2, 2), "tcp://localhost:{port}", "--machine-rank 2: .* from 0 to 1"),
        ((1, 2, -1), "tcp://localhost:{port}", "--machine-rank -1"),
        ((1, 2, 0), "auto", "--dist-url auto: give tcp://HOST:PORT"),
        ((1, 2, 0), "localhost:{port}", "not an address"),
        ((1, 2, 0), "tcp://localhost", "not an address"),
        ((1, 2, 0), "tcp://localhost:high", "not an address"),
        ((1, 2, 1), "tcp://no-such-host.invalid:{port}", "unknown host no-such-host.invalid"),
        ((1, 2, 0), "tcp://127.0.0.1:{port}", "address already in use; give another port"),
    ],
)
def test_mistakes_are_found_before_any_process_starts(port, places, url, words):
    with pytest.raises(SAVError, match=words):
        launch(print, *places, url.format(port=port))


@pytest.mark.parametrize(("rank", "words"), [(0, "process 0 of 2 did not meet"), (1, "no answer")])
def test_machines_do_not_wait_for_ever(rank, words):
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(SAVError, match=f"{url}: {words}.*--machine-rank 0"):
        launch(print, 1, 2, rank, url, timeout=timedelta(seconds=2))


def test_torchrun_connects_its_processes_and_one_of_them_speaks(tmp_path):
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    job = start_job(*torchrun, "-m", __name__, "report_and_fail", tmp_path)
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 1
    lines = [line for line in errors.splitlines() if line.startswith("error:")]
    assert lines == [f"error: {tmp_path}: all see the same mistake"]
    first, second = (json.loads((tmp_path / f"{i}.json").read_text()) for i in (0, 1))
    assert (first["local"], second["local"]) == (0, 1)
    assert first["everywhere"] == second["everywhere"] == [0, 1]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_a_stopped_job_leaves_no_process(tmp_path, name):
    job = start_job(__name__, "never_end", tmp_path)
    while not {"0", "1"} <= {path.name for path in tmp_path.iterdir()}:
        assert job.poll() is None
        time.sleep(0.05)
    job.send_signal(getattr(signal, name))
    _, errors = job.communicate(timeout=300)
    assert job.returncode == {"SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9}[name]
    assert "Traceback" not in errors


if __name__ == "__main__":
    function, argument = sys.argv[1:]
    run_command(lambda: launch(globals()[function], 2, args=(Path(argument),)))
