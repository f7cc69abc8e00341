import argparse
import json
import logging
import os
import re
import sys

import pytest
import torch
import yaml

from sav.d2 import build_model, default_setup, setup_logger
from sav.d2.builtin import get_cfg as builtin_cfg
from sav.d2.shared.checkpoint import DetectionCheckpointer
from sav.engine.arguments import argument_parser
from sav.errors import SAVError

from .toy import Calls, ToyTrainer, toy_cfg


@pytest.fixture(autouse=True)
def _close_logs():
    """Let no log file of one test receive the lines of another."""
    yield
    for name in ("sav", "fvcore", "detectron2", "some"):
        logger = logging.getLogger(name)
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        logger.propagate = True


def train(cfg, resume=False):
    torch.manual_seed(0)
    trainer = ToyTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.train()
    return trainer


def strict_lines(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_a_run_learns_and_leaves_its_files(tmp_path):
    cfg = toy_cfg(tmp_path, MAX_ITER=40, CHECKPOINT_PERIOD=20, STEPS=(30,))
    cfg.TEST.EVAL_PERIOD = 20
    trainer = train(cfg)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"model_0000019.pth", "model_0000039.pth", "model_final.pth"} <= names
    assert (tmp_path / "last_checkpoint").read_text() == "model_final.pth"
    assert not [name for name in names if "partial" in name]
    assert any(name.startswith("events.out.tfevents") for name in names)

    lines = strict_lines(tmp_path / "metrics.json")
    assert [line["iteration"] for line in lines if "loss_line" in line] == [19, 39]
    losses = [line["loss_line"] for line in lines if "loss_line" in line]
    assert losses[1] < losses[0]
    assert list(lines[0]) == sorted(lines[0])
    assert {"data_time", "lr", "time", "total_loss", "loss_size"} <= set(lines[0])
    evaluated = [line for line in lines if "toy/mean" in line]
    assert evaluated[0]["toy/images"] == 10
    assert len(evaluated) == 2
    assert trainer.iter == 40


def test_learning_rate_warms_up_and_drops(tmp_path):
    cfg = toy_cfg(tmp_path, WARMUP_FACTOR=0.5, GAMMA=0.1)
    trainer = ToyTrainer(cfg)
    rates = []
    record = Calls(before_step=lambda t: rates.append(t.optimizer.param_groups[0]["lr"]))
    trainer.register_hooks([record, None])
    trainer.train()
    assert rates == pytest.approx([0.05, 0.1 * 4 / 6, 0.1 * 5 / 6, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_resume_ends_with_the_same_weights(tmp_path):
    whole = train(toy_cfg(tmp_path / "whole"))
    torch.manual_seed(5)
    cfg = toy_cfg(tmp_path / "part")
    stopped = ToyTrainer(cfg)
    stopped.model.load_state_dict(
        torch.load(tmp_path / "whole" / "model_0000003.pth", weights_only=True)["model"]
    )
    torch.manual_seed(0)
    stopped = ToyTrainer(cfg)
    stopped.resume_or_load(resume=True)
    assert stopped.start_iter == 0
    stopped.max_iter = 4
    stopped.train()
    # A run cut off after four iterations knows nothing of a final model.
    (tmp_path / "part" / "model_final.pth").unlink()
    (tmp_path / "part" / "last_checkpoint").write_text("model_0000003.pth")

    resumed = ToyTrainer(cfg)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 4
    assert resumed.counter.steps == 4
    resumed.train()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    assert resumed.scheduler.last_epoch == whole.scheduler.last_epoch
    ours, theirs = resumed.optimizer.state_dict(), whole.optimizer.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]


def test_without_resume_only_weights_load(tmp_path):
    train(toy_cfg(tmp_path / "a"))
    cfg = toy_cfg(tmp_path / "b")
    cfg.MODEL.WEIGHTS = str(tmp_path / "a" / "model_final.pth")
    trainer = ToyTrainer(cfg)
    trainer.resume_or_load(resume=False)
    saved = torch.load(cfg.MODEL.WEIGHTS, weights_only=True)
    assert torch.equal(trainer.model.line.weight, saved["model"]["line.weight"])
    assert (trainer.start_iter, trainer.counter.steps) == (0, 0)
    assert trainer.optimizer.state_dict()["state"] == {}


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = train(toy_cfg(tmp_path))
    again = train(toy_cfg(tmp_path), resume=True)
    assert again.start_iter == 8
    assert torch.equal(first.model.line.weight, again.model.line.weight)


def test_hooks_run_in_order_and_also_after_a_failure(tmp_path):
    calls = []
    names = ("before_train", "before_step", "after_step", "after_train")
    for tag in "ab":
        callbacks = {n: (lambda _, n=n, tag=tag: calls.append(n + tag)) for n in names}
        if tag == "a":
            first = Calls(**callbacks)
    second = Calls(**callbacks)

    def fail(_):
        raise RuntimeError("stop here")

    trainer = ToyTrainer(toy_cfg(tmp_path))
    trainer.register_hooks([first, second, Calls(after_step=fail)])
    with pytest.raises(RuntimeError, match="stop here"):
        trainer.train()
    assert calls == [name + tag for name in names for tag in "ab"]
    assert not (tmp_path / "model_final.pth").exists()


def test_parts_of_the_trainer_can_be_overridden(tmp_path):
    class OwnTrainer(ToyTrainer):
        @classmethod
        def build_model(cls, cfg):
            return torch.nn.Linear(3, 3)

        @classmethod
        def build_optimizer(cls, cfg, model):
            return torch.optim.Adagrad(model.parameters(), lr=0.5)

        @classmethod
        def build_lr_scheduler(cls, cfg, optimizer):
            return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5)

    trainer = OwnTrainer(toy_cfg(tmp_path))
    assert type(trainer.model) is torch.nn.Linear
    assert type(trainer.optimizer) is torch.optim.Adagrad
    assert trainer.optimizer.param_groups[0]["lr"] == 0.25


def test_checkpoints_keep_extra_objects(tmp_path):
    class Gallery:
        def __init__(self, value):
            self.value = value

        def state_dict(self):
            return {"value": self.value}

        def load_state_dict(self, state_dict):
            self.value = state_dict["value"]

    model = torch.nn.Linear(2, 2)
    DetectionCheckpointer(model, str(tmp_path), gallery=Gallery(3)).save("model_0000001", epoch=7)
    gallery, other = Gallery(0), torch.nn.Linear(2, 2)
    checkpointer = DetectionCheckpointer(other, str(tmp_path))
    checkpointer.add_checkpointable("gallery", gallery)
    assert checkpointer.has_checkpoint()
    rest = checkpointer.resume_or_load("", resume=True)
    assert torch.equal(model.weight, other.weight)
    assert gallery.value == 3
    assert rest["epoch"] == 7


def test_unreadable_weights_are_one_clear_line(tmp_path):
    checkpointer = DetectionCheckpointer(torch.nn.Linear(2, 2))
    with pytest.raises(SAVError, match=r"none\.pth"):
        checkpointer.load(str(tmp_path / "none.pth"))
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 not all of it")
    torch.save({"model": {}, "extra": argparse.Namespace()}, tmp_path / "code.pth")
    torch.save({"weight": torch.ones(2)}, tmp_path / "bare.pth")
    for name in ("cut.pth", "code.pth", "bare.pth"):
        with pytest.raises(SAVError, match=name) as error:
            checkpointer.load(str(tmp_path / name))
        assert "\n" not in str(error.value)


def test_a_broken_checkpoint_gives_way_to_the_one_before(tmp_path, caplog):
    model, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    checkpointer = DetectionCheckpointer(model, str(tmp_path))
    for iteration in (3, 7, 11):
        torch.nn.init.constant_(model.weight, iteration)
        checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
    (tmp_path / "model_0000011.pth").write_bytes(b"PK cut off")
    (tmp_path / "model_0000007.pth").unlink()
    resumed = DetectionCheckpointer(other, str(tmp_path)).resume_or_load("", resume=True)
    assert resumed["iteration"] == 3
    assert (other.weight == 3).all()
    (tmp_path / "model_0000011.pth").unlink()
    resumed = DetectionCheckpointer(other, str(tmp_path)).resume_or_load("", resume=True)
    assert resumed["iteration"] == 3
    (tmp_path / "model_0000003.pth").write_bytes(b"")
    with pytest.raises(SAVError, match="none of 2 checkpoints can be read"):
        DetectionCheckpointer(other, str(tmp_path)).resume_or_load("", resume=True)


def test_a_signal_in_the_middle_of_a_checkpoint_ends_the_run(tmp_path, monkeypatch):
    """torch turns what a signal handler raises in its writer into an error of the file."""

    def interrupted(*_):
        try:
            sys.exit(143)
        except SystemExit:
            raise RuntimeError("unexpected pos")  # noqa: B904

    checkpointer = DetectionCheckpointer(torch.nn.Linear(2, 2), str(tmp_path))
    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(SystemExit) as end:
        checkpointer.save("model_0000001")
    assert end.value.code == 143
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path):
    DetectionCheckpointer(torch.nn.Linear(2, 2), str(tmp_path)).save("model_0000001")
    for other in (torch.nn.Linear(2, 3), torch.nn.Linear(2, 2, bias=False)):
        with pytest.raises(SAVError, match=r"weights do not fit at 'bias'.*another OUTPUT_DIR"):
            DetectionCheckpointer(other, str(tmp_path)).resume_or_load("", resume=True)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    checkpointer = DetectionCheckpointer(torch.nn.Linear(2, 2), str(tmp_path))
    checkpointer.save("model_0000001")
    # Writing to this device fails as on a disk without room.
    (tmp_path / f".model_0000002-{os.getpid()}.pth").symlink_to("/dev/full")
    with pytest.raises(SAVError, match=r"model_0000002\.pth: .*cannot be written") as error:
        checkpointer.save("model_0000002")
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0000001.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000001.pth"


def test_model_is_built_by_name(tmp_path):
    cfg = toy_cfg(tmp_path)
    assert type(build_model(cfg)).__name__ == "ToyModel"
    cfg.MODEL.META_ARCHITECTURE = "NoModel"
    with pytest.raises(KeyError, match="NoModel"):
        build_model(cfg)


def test_workers_scale_the_config(tmp_path):
    cfg = toy_cfg(tmp_path, REFERENCE_WORLD_SIZE=2, STEPS=(6,))
    scaled = ToyTrainer.auto_scale_workers(cfg, 4)
    assert (scaled.SOLVER.IMS_PER_BATCH, scaled.SOLVER.MAX_ITER) == (8, 4)
    assert (scaled.SOLVER.BASE_LR, scaled.SOLVER.STEPS) == (0.2, (3,))
    assert cfg.SOLVER.IMS_PER_BATCH == 4


def test_command_line():
    args = argument_parser().parse_args(
        ["--config-file", "a.yaml", "--resume", "--num-gpus", "2", "SOLVER.MAX_ITER", "5"]
    )
    assert (args.config_file, args.resume, args.eval_only) == ("a.yaml", True, False)
    assert (args.num_gpus, args.num_machines, args.machine_rank) == (2, 1, 0)
    assert args.opts == ["SOLVER.MAX_ITER", "5"]


def test_setup_writes_config_and_log_and_seeds(tmp_path, capsys):
    config_file = tmp_path / "c.yaml"
    config_file.write_text("SEED: 1\n")
    cfg = toy_cfg(tmp_path / "run")
    args = argparse.Namespace(config_file=str(config_file), eval_only=False)
    setup_logger(cfg.OUTPUT_DIR, name="sav")
    default_setup(cfg, args)
    drawn = torch.rand(1)
    logging.getLogger("sav.part").info("a line of ours")
    default_setup(cfg, args)
    assert torch.rand(1) == drawn
    log = (tmp_path / "run" / "log.txt").read_text()
    assert log.count("a line of ours") == 1
    assert "Command line arguments" in log
    again = toy_cfg(tmp_path)
    again.merge_from_file(str(tmp_path / "run" / "config.yaml"))
    assert yaml.safe_load(again.dump()) == yaml.safe_load(cfg.dump())
    # What one engine has trained, the other one loads.
    builtin_cfg().merge_from_file(str(tmp_path / "run" / "config.yaml"))
    assert capsys.readouterr().out.count("a line of ours") == 1


def test_log_lines_and_ranks(tmp_path, capsys):
    logger = setup_logger(str(tmp_path), distributed_rank=0, name="some")
    logging.getLogger("some.part").info("hello")
    logger.warning("careful")
    out = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()
    assert re.fullmatch(r"\[\d\d/\d\d \d\d:\d\d:\d\d some\.part\]: hello", out[0])
    assert "WARNING" in out[1]
    setup_logger(str(tmp_path), distributed_rank=1, name="some")
    logger.info("from both")
    assert "from both" in (tmp_path / "log.txt").read_text()
    assert "from both" in (tmp_path / "log.txt.rank1").read_text()
