import json
import logging
import re
import struct
import sys

import numpy as np
import pytest
import torch
import wandb
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sav.d2 import EventStorage, get_event_storage, hooks
from sav.engine.writers import (
    ProgressLine,
    WandbWriter,
    build_writers,
    forget_after,
    show_predictions,
)
from sav.errors import SAVError

from ..tiny import tiny_config


@pytest.fixture
def cfg(tmp_path):
    cfg = tiny_config()
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    cfg.SOLVER.IMS_PER_BATCH = 8
    cfg.WANDB.NAME = "tried"
    (tmp_path / "run").mkdir()
    return cfg


@pytest.fixture
def log(caplog, monkeypatch):
    """What is logged."""
    monkeypatch.setattr(logging.getLogger("sav"), "propagate", True)
    caplog.set_level(logging.INFO, "sav.engine.writers")
    return caplog


def train(writers, start, stop, loss=lambda i: 1 / (1 + i)):
    """What a trainer does with its writers, every other iteration."""
    with EventStorage(start) as storage:
        for i in range(start, stop):
            storage.iter = i
            storage.put_scalars(total_loss=loss(i), loss_mask=loss(i) / 2, loss_dice=loss(i) / 2)
            storage.put_scalars(time=0.25, data_time=0.0125)
            storage.put_scalar("lr", 1e-3, smoothing_hint=False)
            if i % 2:
                for writer in writers:
                    writer.write()
        storage.iter = stop
        storage.put_scalar("toy/segm/AP", 30.0 + stop, smoothing_hint=False)
        for writer in writers:
            writer.write()
            writer.close()


def read_events(folder):
    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_a_line_tells_how_the_training_goes(log):
    train([ProgressLine(4000, 8)], 498, 500)
    (line,) = log.messages
    assert line.startswith(" 12.5%  500/4000  eta 0:14:35  loss 0.002002 (mask 0.001001, dice ")
    assert "  32 images/s  step 0.25 s  data 0.0125 s  lr 0.001  " in line
    assert re.search(r"memory [1-9]\d+ MB$", line)


def test_no_line_comes_twice_and_evaluation_is_not_in_it(log):
    train([ProgressLine(5, 8)], 0, 5)
    assert [line.split()[:2] for line in log.messages] == [
        ["40.0%", "2/5"],
        ["80.0%", "4/5"],
        ["100.0%", "5/5"],
    ]
    assert not any("AP" in line for line in log.messages)


def test_lines_know_what_there_is_yet(log):
    with EventStorage(0) as storage:
        line = ProgressLine(10, 8)
        line.write()
        storage.put_scalars(total_loss=1.5, loss_mask=float("nan"))
        line.write()
    assert len(log.messages) == 1
    assert log.messages[0].startswith(" 10.0%  1/10  loss 1.5 (mask nan)  ")


def test_a_resumed_run_leaves_the_metrics_of_one_never_stopped(cfg, tmp_path):
    train(build_writers(cfg, 0, 9), 0, 7)
    metrics = tmp_path / "run" / "metrics.json"
    with metrics.open("a") as file:
        file.write('{"iteration": 7, "total_')
    train(build_writers(cfg, 4, 9), 4, 9, loss=lambda i: 50 + i)
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [1, 3, 5, 7, 8, 9]
    assert [row.get("total_loss", 0) > 1 for row in rows] == [False, False, True, True, True, False]
    assert rows[-1] == {"iteration": 9, "toy/segm/AP": 39.0}
    scalars = read_events(tmp_path / "run").Scalars("total_loss")
    assert [event.step for event in scalars] == [1, 3, 5, 7, 8]
    assert [event.value > 1 for event in scalars] == [False, False, True, True, True]


def test_lines_written_after_the_checkpoint_are_forgotten(tmp_path):
    file = tmp_path / "metrics.json"
    forget_after(file, 3)
    assert not file.exists()
    kept = ['{"iteration": 1, "a": 1.0}\n', '{"a": null, "iteration": 2}\n']
    file.write_text("".join([*kept, '{"iteration": 3}\n', '{"iteration": 2']))
    forget_after(file, 3)
    assert file.read_text() == "".join(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    before = file.stat().st_mtime_ns
    forget_after(file, 3)
    assert file.stat().st_mtime_ns == before


def test_pictures_reach_tensorboard(cfg, tmp_path):
    sheet = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    writers = build_writers(cfg, 0, 9)
    with EventStorage(0) as storage:
        storage.iter = 5
        show_predictions(storage, tmp_path / "none.png")
        show_predictions(get_event_storage(), tmp_path / "sheet.png")
        for _ in range(2):
            for writer in writers:
                writer.write()
        for writer in writers:
            writer.close()
    events = read_events(tmp_path / "run")
    assert events.Tags()["images"] == ["predictions"]
    (picture,) = events.Images("predictions")
    assert (picture.step, picture.height, picture.width) == (5, 20, 30)
    (tmp_path / "read.png").write_bytes(picture.encoded_image_string)
    with Image.open(tmp_path / "read.png") as image:
        assert np.array_equal(np.asarray(image), sheet)


def test_the_periodic_writer_takes_them(cfg):
    writers = build_writers(cfg, 0, 9)
    hooks.PeriodicWriter(writers)
    for writer in writers:
        writer.close()


def wandb_records(file):
    """The records of a W&B file: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = file.read_bytes(), 7, b""
    while at < len(data):
        if 32768 - at % 32768 < 7:  # no header fits in what is left of the block
            at += 32768 - at % 32768
        size, kind = struct.unpack_from("<HB", data, at + 4)
        record += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            yield Record.FromString(record)
            record = b""


def read_wandb(folder):
    """The rows, the config and the id of an offline run."""
    rows, config, run_id = [], {}, None
    for record in wandb_records(next(folder.glob("*.wandb"))):
        if record.HasField("run"):
            run_id = record.run.run_id
            config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        if record.HasField("history"):
            rows.append(
                {
                    "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                    for item in record.history.item
                }
            )
    return rows, config, run_id


def test_wandb_gets_everything_and_goes_on_in_the_same_run(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    cfg.WANDB.ENABLED = True
    folders = []
    for start, stop in ((0, 4), (4, 8), (0, 2)):
        writers = build_writers(cfg, start, 8)
        with EventStorage(start) as storage:
            storage.iter = start
            storage.put_image("sheet", torch.zeros(3, 6, 8, dtype=torch.uint8))
            for writer in writers:
                writer.write()
        train(writers, start, stop)
        folders += set((tmp_path / "run").glob("wandb/offline-run-*")).difference(folders)
    wandb.teardown()  # its files are complete only then
    (first, config, first_id), (second, _, second_id), (_, _, third_id) = map(read_wandb, folders)
    assert first_id == second_id != third_id
    assert config["SOLVER"]["IMS_PER_BATCH"] == 8
    assert [row["_step"] for row in first] == [0, 1, 3, 4]
    assert first[0]["sheet/_type"] == "image-file"
    assert (first[0]["sheet/width"], first[0]["sheet/height"]) == (8, 6)
    assert first[1]["total_loss"] == pytest.approx(0.75)
    assert first[-1]["toy/segm/AP"] == 34.0
    assert [row["_step"] for row in second] == [4, 5, 7, 8]


def test_wandb_missing_is_one_clear_line(cfg, monkeypatch):
    # What Python itself does for a module that is marked as absent.
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SAVError, match="pip install wandb"):
        WandbWriter(cfg)
