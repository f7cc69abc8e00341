"""A training at the scale of VehicleSeg10K: its number of photos and parts, eight processes."""

import json
import logging
import os
import re
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from threading import Thread

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.gallery.files import load_gallery
from sav.ontology import load_ontology

from .test_processes import TRAIN_NET, start
from .toy import CONFIG

PHOTOS = 11_665
TEST_PHOTOS = 64
PROCESSES = 8
LAYOUTS = 100
PATIENCE = 900

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of processes in /proc"),
]


def draw_layout(rng, names):
    """A photo's size, 96 to 160 pixels a side, its annotations, and a label map of their parts."""
    height, width = rng.integers(96, 161, 2).tolist()
    labels, annotations = np.zeros((height, width), np.uint8), []
    for label in range(1, int(rng.integers(8, 21)) + 1):
        # The first part is a body that the others lie on.
        share = 0.4 if label == 1 else rng.uniform(0.03, 0.12)
        axes = int(share * width) + 1, int(share * height) + 1
        x, y = (0.5, 0.5) if label == 1 else rng.uniform(0.2, 0.8, 2)
        mask = np.zeros((height, width), np.uint8)
        cv2.ellipse(mask, (int(x * width), int(y * height)), axes, 0, 0, 360, 1, -1)
        labels[mask > 0] = label
        code = coco_mask.encode(np.asfortranarray(mask))
        annotations.append(
            {
                "category_id": 1 if label == 1 else int(rng.integers(len(names))) + 1,
                "bbox": coco_mask.toBbox(code).tolist(),
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": {"size": [height, width], "counts": code["counts"].decode()},
                "vehicle_id": 0,
            }
        )
    return labels, annotations


def draw_photos(root, split, count):
    """As a COCO part file. Photos share layouts; backgrounds and colours are their own."""
    ontology = load_ontology("vehicleseg10k")
    rng = np.random.default_rng(count)
    layouts = [draw_layout(rng, ontology.class_names) for _ in range(LAYOUTS)]
    (root / "images").mkdir(exist_ok=True)
    images, annotations = [], []
    for index in range(1, count + 1):
        labels, parts = layouts[int(rng.integers(LAYOUTS))]
        height, width = labels.shape
        photo = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        photo = cv2.resize(photo, (width, height))
        colors = rng.integers(0, 256, (32, 3), dtype=np.uint8)
        photo[labels > 0] = colors[labels[labels > 0]]
        name = f"{split}{index}.jpg"
        cv2.imwrite(str(root / "images" / name), photo)
        images.append({"id": index, "file_name": name, "width": width, "height": height})
        first = len(annotations) + 1
        annotations += [{**p, "id": first + i, "image_id": index} for i, p in enumerate(parts)]
    contents = {
        "info": {"ontology": ontology.name, "image_root": "images"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": n} for i, n in enumerate(ontology.class_names, 1)],
    }
    (root / f"{split}.json").write_text(json.dumps(contents))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("mission")
    for split, count in {"train": PHOTOS, "few": TEST_PHOTOS, "valid": TEST_PHOTOS}.items():
        draw_photos(root, split, count)
    return root


def processes_under(pid):
    """The Python processes that a process has started, tracker of resources left out."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [c for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def read_kilobytes(file, pattern):
    try:
        return sum(map(int, re.findall(pattern, Path(file).read_text(), re.MULTILINE)))
    except (FileNotFoundError, ProcessLookupError):
        return 0


@dataclass
class Memory:
    """Peaks of a job in MB, by the number of the process.

    Attributes:
        process: resident, of each training process.
        worker: what each loader worker has for itself.
    """

    process: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    worker: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def look(self, job):
        for process in processes_under(job.pid):
            resident = read_kilobytes(f"/proc/{process}/status", r"^VmHWM:\s+(\d+)")
            self.process[process] = max(self.process[process], resident / 1024)
            for worker in processes_under(process):
                own = read_kilobytes(f"/proc/{worker}/smaps_rollup", r"^Private_\w+:\s+(\d+)")
                self.worker[worker] = max(self.worker[worker], own / 1024)


def watch(job, memory, stop_at):
    """Until a job has ended; it is stopped when a file appears."""
    while job.poll() is None:
        if stop_at is not None and stop_at.is_file():
            job.terminate()
            stop_at = None
        memory.look(job)
        time.sleep(0.5)


def train(root, output, processes, *options, stop_at=None):
    """Run a job; returns its exit code and its memory."""
    config = CONFIG.replace("toy_", "mission_").replace("toy/", "")
    (root / "mission.yaml").write_text(config)
    words = {
        "OUTPUT_DIR": output,
        "DATASETS.ROOT": root,
        "SOLVER.IMS_PER_BATCH": 2 * processes,
        "SOLVER.MAX_ITER": 20,
        "SOLVER.CHECKPOINT_PERIOD": 5,
        "MODEL.SAV.TEST.BATCH": 16,
        "DATALOADER.NUM_WORKERS": 1,
    }
    job = start(
        *(TRAIN_NET, "--config-file", root / "mission.yaml"),
        *("--num-gpus", processes, "--resume"),
        *(word for pair in words.items() for word in pair),
        *options,
    )
    memory = Memory()
    watcher = Thread(target=watch, args=(job, memory, stop_at))
    watcher.start()
    try:
        _, errors = job.communicate(timeout=PATIENCE)
    finally:
        if job.returncode is None:
            os.killpg(job.pid, signal.SIGKILL)
        watcher.join()
    assert "Traceback" not in errors, errors
    return job.returncode, memory


def test_eight_processes_train_stop_go_on_and_evaluate(data, tmp_path):
    few = ("DATASETS.PARTS.mission_train", "few.json", "SOLVER.MAX_ITER", 2)
    code, small = train(data, tmp_path / "few", 2, *few)
    assert code == 0

    output = tmp_path / "run"
    code, first = train(data, output, PROCESSES, stop_at=output / "last_checkpoint")
    assert code == 128 + signal.SIGTERM
    log = (output / "log.txt").read_text()
    stopped_after = int(re.search(r"Stopped by SIGTERM after iteration (\d+)", log)[1])
    assert (output / "last_checkpoint").read_text() == f"model_{stopped_after:07d}.pth"
    assert stopped_after < 19

    code, second = train(data, output, PROCESSES)
    assert code == 0
    log = (output / "log.txt").read_text()
    assert f"World size: {PROCESSES}" in log
    assert f"Starting training from iteration {stopped_after + 1}" in log
    assert len(load_gallery(output / "gallery")) == PHOTOS
    results = json.loads((output / "results.json").read_text())["mission_valid"]
    assert 0 <= results["parts"]["mIoU"] <= 100
    assert 0 <= results["segm"]["AP"] <= 100

    # Of the few photos' job it is the process that writes nothing.
    base = min(small.process.values())
    annotations = (data / "train.json").stat().st_size / 2**20
    gallery = sum(path.stat().st_size for path in (output / "gallery").iterdir()) / 2**20
    loaded = max(first.process.values()) - base
    searched = median(second.process.values()) - base
    worker = median(second.worker.values())
    logging.getLogger(__name__).info(
        f"MB: {base=:.0f} {annotations=:.0f} {loaded=:.0f} {gallery=:.0f} {searched=:.0f} "
        f"{worker=:.0f}, writer={max(second.process.values()):.0f}"
    )
    assert loaded < 3.5 * annotations  # as objects they take 4.7 times their file
    assert searched < 4.5 * gallery
    assert worker < base / 4  # a worker that is not forked takes half
