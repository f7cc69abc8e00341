import json

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sav.d2 import EventStorage, JSONWriter, TensorboardXWriter, get_event_storage


def test_storage_keeps_histories():
    with pytest.raises(AssertionError):
        get_event_storage()
    with EventStorage(5) as storage:
        assert get_event_storage() is storage
        for value in (1.0, 9.0, 2.0):
            storage.put_scalar("loss", value)
            storage.put_scalars(lr=value, smoothing_hint=False)
            storage.iter += 1
        assert storage.iter == 8
        assert storage.history("loss").latest() == 2.0
        assert storage.latest()["loss"] == (2.0, 7)
        smooth = storage.latest_with_smoothing_hint(20)
        assert smooth["loss"] == (2.0, 7)
        assert smooth["lr"] == (2.0, 7)
        storage.put_scalar("loss", 9.0)
        assert storage.latest_with_smoothing_hint(20)["loss"][0] == 5.5
        assert set(storage.latest()) == {"loss", "lr"}
        with pytest.raises(KeyError):
            storage.history("absent")
        with pytest.raises(AssertionError):
            storage.put_scalar("loss", 1, smoothing_hint=False)


def test_metrics_are_strict_json_lines(tmp_path):
    path = tmp_path / "metrics.json"
    writer = JSONWriter(str(path))
    with EventStorage(0) as storage:
        storage.put_scalar("segm/AP-Wheel", float("nan"), smoothing_hint=False)
        storage.put_scalar("loss", 2.0)
        writer.write()
        writer.write()
        storage.iter += 1
        storage.put_scalar("loss", float("inf"))
        writer.write()
    writer.close()
    lines = path.read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == [
        {"iteration": 0, "loss": 2.0, "segm/AP-Wheel": None},
        {"iteration": 1, "loss": None},
    ]
    JSONWriter(str(path)).close()
    assert path.read_text().splitlines() == lines


def test_metrics_are_medians_of_twenty_iterations(tmp_path):
    writer = JSONWriter(str(tmp_path / "metrics.json"))
    with EventStorage(0) as storage:
        for value in range(30):
            storage.put_scalar("loss", value)
            storage.put_scalar("lr", value, smoothing_hint=False)
            storage.iter += 1
        writer.write()
    writer.close()
    line = (tmp_path / "metrics.json").read_text()
    assert json.loads(line) == {"iteration": 29, "loss": 19.5, "lr": 29.0}
    assert line.startswith('{"iteration": 29, "loss"')


def test_tensorboard_has_scalars_and_images(tmp_path):
    writer = TensorboardXWriter(str(tmp_path), purge_step=3)
    with EventStorage(3) as storage:
        storage.put_scalar("loss", 2.0)
        storage.put_image("parts", np.full((3, 4, 6), 0.5, np.float32))
        writer.write()
        writer.write()
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(3, 2.0)]
    (image,) = events.Images("parts")
    assert (image.step, image.width, image.height) == (3, 6, 4)
