"""A run that was stopped and resumed ends exactly like one that was never stopped."""

import json
import os
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from torch import multiprocessing as mp

from sav.engine.run import setup
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.process import run_command
from tests.d2.toy import Calls

from .toy import arguments, run

OPTIONS = ["SOLVER.MAX_ITER", "9", "TEST.EVAL_PERIOD", "4"]
CLOCK = {"time", "data_time", "rank_data_time", "eta_seconds"}


class KillsWhenWritten:
    """What a checkpoint cannot be written with: unpickled it would be a number."""

    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)
        return int, ()


class Bomb:
    """A part of the checkpoints that explodes in the second one."""

    def __init__(self):
        self.saved = 0

    def state_dict(self):
        self.saved += 1
        return {"value": KillsWhenWritten() if self.saved == 2 else 0}

    def load_state_dict(self, state):
        pass


def train_until(options, kind, iteration):
    """Train in a process of its own, which is killed on the way.

    "A+B group" sends the signals A and B to the process and its loader's workers.
    """
    torch.set_num_threads(1)
    os.setsid()  # a process group of its own
    # A test that a shell runs in the background has inherited that interrupts are ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    trainer = Trainer(setup(options))
    if kind == "in a checkpoint":
        trainer.checkpointer.add_checkpointable("bomb", Bomb())
    else:
        names, _, whom = kind.partition(" ")

        def send(number):
            if whom == "group":
                os.killpg(os.getpid(), number)
            else:
                # In this thread: any other one may be long in waking up for it.
                signal.raise_signal(number)

        def stop(trainer):
            if trainer.iter == iteration:
                for name in names.split("+"):
                    send(getattr(signal, name))
                    time.sleep(0.2)  # signals that wait together arrive as one

        trainer.register_hooks([Calls(before_step=stop)])
    trainer.resume_or_load(resume=True)
    run_command(trainer.train)


def interrupt(root, output, *options, how):
    flags = arguments(root, output, *OPTIONS, *options)
    process = mp.get_context("spawn").Process(target=train_until, args=(flags, *how))
    process.start()
    process.join()
    expected = {"SIGINT": 130, "SIGTERM": 128 + signal.SIGTERM}.get(how[0].split("+")[0].split()[0])
    assert process.exitcode == (expected or -signal.SIGKILL)
    assert not (output / "model_final.safetensors").exists()


def flatten(state, prefix=""):
    if isinstance(state, dict):
        for key, value in state.items():
            yield from flatten(value, f"{prefix}/{key}")
    elif isinstance(state, (list, tuple)):
        for index, value in enumerate(state):
            yield from flatten(value, f"{prefix}/{index}")
    else:
        yield prefix, state


def assert_same_end(first, second):
    """Weights, optimizer, schedule, hooks and gallery are bitwise the same, and so are figures."""
    ends = [
        dict(flatten(torch.load(folder / "model_final.pth", weights_only=True)))
        for folder in (first, second)
    ]
    ends = [{k: v for k, v in end.items() if not k.startswith("/bomb")} for end in ends]
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        other = ends[1][name]
        same = torch.equal(value, other) if torch.is_tensor(value) else value == other
        assert same, name
    weights = [load_file(folder / "model_final.safetensors") for folder in (first, second)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    results = [(folder / "results.json").read_text() for folder in (first, second)]
    assert results[0] == results[1]


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.json").open()]
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


@pytest.fixture(scope="module")
def whole(root, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole")
    run(root, output, *OPTIONS)
    return output


@pytest.mark.parametrize(
    ("how", "workers"),
    [
        (("SIGKILL", 4), 2),  # just after an evaluation, between checkpoints
        (("SIGTERM", 5), 0),  # just after the second checkpoint
        (("in a checkpoint", 5), 1),  # half of the second checkpoint is written
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(root, whole, tmp_path, how, workers):
    interrupt(root, tmp_path, how=how)
    run(root, tmp_path, *OPTIONS, "DATALOADER.NUM_WORKERS", str(workers), flags=["--resume"])
    assert_same_end(whole, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.pth")) == sorted(
        p.name for p in whole.glob("*.pth")
    )
    best = [load_file(folder / "best" / "model_final.safetensors") for folder in (whole, tmp_path)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


@pytest.mark.parametrize(
    ("how", "checkpoint"),
    [
        (("SIGINT", 4), "model_0000004.pth"),
        (("SIGINT group", 3), "model_0000003.pth"),  # with an evaluation after the step
        (("SIGTERM+SIGTERM group", 6), "model_0000006.pth"),
        (("SIGINT", 8), "model_final.pth"),  # the last iteration
    ],
)
def test_a_stopped_run_writes_a_checkpoint(root, whole, tmp_path, how, checkpoint):
    loader = ["DATALOADER.NUM_WORKERS", "2" if "group" in how[0] else "0"]
    interrupt(root, tmp_path, *loader, how=how)
    assert (tmp_path / "last_checkpoint").read_text() == checkpoint
    log = (tmp_path / "log.txt").read_text()
    name = how[0].split("+")[0].split()[0]
    assert f"Stopped by {name} after iteration {how[1]}" in log
    assert "--resume goes on from there" in log
    run(root, tmp_path, *OPTIONS, flags=["--resume"])
    assert_same_end(whole, tmp_path)
    assert len(list(tmp_path.glob("*.pth"))) == len(list(whole.glob("*.pth")))


def test_a_second_interrupt_ends_at_once(root, tmp_path):
    interrupt(root, tmp_path, how=("SIGINT+SIGINT", 4))
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000002.pth"


def test_signals_are_given_back_after_training(root, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run(root, tmp_path, "SOLVER.MAX_ITER", "1")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_metrics_read_like_one_run(root, whole, tmp_path):
    interrupt(root, tmp_path, how=("SIGKILL", 6))
    with (tmp_path / "metrics.json").open("a") as file:
        file.write('{"iteration": 6, "total_loss": 1.0}\n{"iterat')
    run(root, tmp_path, *OPTIONS, flags=["--resume"])
    ours, theirs = metrics(tmp_path), metrics(whole)
    iterations = [line["iteration"] for line in ours]
    assert iterations == sorted(set(iterations))
    assert ours[-1] == theirs[-1]


def test_a_truncated_checkpoint_falls_back_to_the_one_before(root, whole, tmp_path, caplog):
    interrupt(root, tmp_path, how=("SIGKILL", 6))
    last = tmp_path / "model_0000005.pth"
    assert (tmp_path / "last_checkpoint").read_text() == last.name
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    run(root, tmp_path, *OPTIONS, flags=["--resume"])
    log = (tmp_path / "log.txt").read_text()
    assert "model_0000005.pth: cannot be read" in log
    assert "trying the one before" in log
    assert_same_end(whole, tmp_path)


def test_no_readable_checkpoint_is_a_clear_error(root, tmp_path):
    (tmp_path / "model_0000002.pth").write_bytes(b"")
    (tmp_path / "last_checkpoint").write_text("model_0000005.pth")
    with pytest.raises(SAVError, match="none of 2 checkpoints can be read"):
        run(root, tmp_path, flags=["--resume"])


def test_a_full_disk_is_a_clear_error_and_costs_no_checkpoint(root, whole, tmp_path):
    # Writing to this device fails as on a disk without room.
    full = tmp_path / f".model_0000005-{os.getpid()}.pth"
    trainer = Trainer(setup(arguments(root, tmp_path, *OPTIONS)))
    fill = Calls(before_step=lambda t: t.iter == 5 and full.symlink_to("/dev/full"))
    trainer.register_hooks([fill])
    with pytest.raises(SAVError, match=r"model_0000005\.pth: .* cannot be written .*--resume"):
        trainer.train()
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000002.pth"
    run(root, tmp_path, *OPTIONS, flags=["--resume"])
    assert_same_end(whole, tmp_path)


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=pytest.mark.slow)])
def test_mixed_precision_resumes_exactly_too(root, tmp_path, precision):
    options = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", precision]
    run(root, tmp_path / "whole", *OPTIONS, *options)
    interrupt(root, tmp_path / "part", *options, how=("SIGKILL", 4))
    run(root, tmp_path / "part", *OPTIONS, *options, flags=["--resume"])
    assert_same_end(tmp_path / "whole", tmp_path / "part")
    end = torch.load(tmp_path / "whole" / "model_final.pth", weights_only=True)
    assert bool(end["trainer"]["_trainer"]["grad_scaler"]) == (precision == "fp16")


def test_a_checkpoint_of_other_weights_is_refused(root, tmp_path):
    """As one of another version of SAV, whose parameters had other names."""
    run(root, tmp_path, "SOLVER.MAX_ITER", "2", "SOLVER.EMA_DECAY", "0")
    path = tmp_path / "model_final.pth"
    checkpoint = torch.load(path, weights_only=True)
    weights = checkpoint["model"]
    weights["graph.free"] = weights.pop("graph.class_embedding")
    torch.save(checkpoint, path)
    with pytest.raises(SAVError, match=r"another version .*graph\.class_embedding.*train anew"):
        run(root, tmp_path, "SOLVER.EMA_DECAY", "0", flags=["--resume"])


def test_a_run_that_trains_other_parameters_is_not_gone_on_with(root, tmp_path):
    run(root, tmp_path, "SOLVER.MAX_ITER", "2")
    options = ("SOLVER.MAX_ITER", "3", "SOLVER.TRAINED", "('context.',)")
    with pytest.raises(SAVError, match=r"averages other parameters .*start the training anew"):
        run(root, tmp_path, *options, flags=["--resume"])
