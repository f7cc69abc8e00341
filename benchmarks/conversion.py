"""Time to prepare a data set: python benchmarks/conversion.py [--photos 500].

Writes photos of 1 to 2 megapixels with 20 parts each to a temporary folder, as COCO polygons, COCO
run-length codes and VehicleSeg10K's LabelMe files, and prepares each in one process. Prints the CPU
seconds that only opening the photos takes, only parsing the JSON, and the rest; and the rest for
VehicleSeg10K's 11,665 photos on two cores.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sav.commands.prepare import add_arguments
from sav.commands.prepare import run as prepare
from sav.formats.annotation_format import LabelledPhoto
from sav.formats.coco import COCO
from sav.formats.labelme import labelme_record
from sav.formats.masks import run_length_code
from sav.formats.records import PartInstance
from sav.ontology import load_ontology

PHOTOS = 11_665
CORES = 2
PARTS = 20
SIZES = ((1280, 800), (1600, 1000), (1920, 1040))
ONTOLOGY = load_ontology("vehicleseg10k")
Outlines = list[tuple[str, np.ndarray]]


def outlines(rng: np.random.Generator, width: int, height: int) -> Outlines:
    """Twenty wobbly ellipses of 24 to 96 corners, the first as large as a vehicle."""
    found = []
    for i in range(PARTS):
        turns = np.linspace(0, 2 * np.pi, int(rng.integers(24, 97)), endpoint=False)
        radius = (0.35 if i == 0 else rng.uniform(0.02, 0.12)) * rng.uniform(0.9, 1.1, len(turns))
        x, y = (0.5, 0.5) if i == 0 else rng.uniform(0.2, 0.8, 2)
        points = [x + radius * np.cos(turns), y + radius * np.sin(turns)]
        label = ONTOLOGY.class_names[i % len(ONTOLOGY)]
        found.append((label, (np.stack(points, axis=1) * (width, height)).round(2)))
    return found


def write_photos(folder: Path, count: int) -> list[tuple[Path, int, int, Outlines]]:
    """Photos, which repeat a few pictures: what they show takes the same time."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    pictures = []
    for width, height in SIZES:
        small = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        pictures.append(folder.parent / f"{width}.jpg")
        picture.save(pictures[-1], quality=90)
    found = []
    for i in range(count):
        width, height = SIZES[i % len(SIZES)]
        shutil.copyfile(pictures[i % len(SIZES)], folder / f"{i:05}.jpg")
        found.append((folder / f"{i:05}.jpg", height, width, outlines(rng, width, height)))
    return found


def write_coco(photos: list[tuple[Path, int, int, Outlines]], out: Path, *, codes: bool) -> None:
    """Part annotations of all photos."""
    labelled = (
        LabelledPhoto(
            image,
            image.name,
            height,
            width,
            [
                PartInstance(c, run_length_code([p.ravel().tolist()], height, width))
                for c, p in parts
            ],
        )
        for image, height, width, parts in photos
    )
    COCO.write(labelled, ONTOLOGY.class_names, out)
    if codes:
        return
    file = out / "instances_train.json"
    contents = json.loads(file.read_text())
    polygons = [points for *_, parts in photos for _, points in parts]
    for annotation, points in zip(contents["annotations"], polygons, strict=True):
        annotation["segmentation"] = [points.ravel().tolist()]
    file.write_text(json.dumps(contents))


def write_labelme(photos: list[tuple[Path, int, int, Outlines]], folder: Path) -> None:
    """A record for each photo."""
    folder.mkdir(parents=True)
    for image, height, width, parts in photos:
        shapes = [(label, points, None, "") for label, points in parts]
        record = labelme_record(shapes, image.name, height, width)
        (folder / f"{image.stem}.json").write_text(json.dumps(record))


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process, which other programs do not lengthen much."""
    start = time.process_time()
    work()
    return time.process_time() - start


def open_photos(folder: Path) -> None:
    """Reads no more than their headers."""
    for path in folder.iterdir():
        with Image.open(path) as image:
            _ = image.size, image.getexif()


def main() -> None:
    """Print one line a format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=500)
    count = parser.parse_args().photos
    commands = argparse.ArgumentParser()
    add_arguments(commands)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        photos = write_photos(root / "images" / "train", count)
        write_coco(photos, root / "polygons", codes=False)
        write_coco(photos, root / "codes", codes=True)
        write_labelme(photos, root / "annotations" / "train")
        headers = seconds(lambda: open_photos(root / "images" / "train"))
        print(
            f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {count} photos"
        )
        print("CPU seconds         headers     JSON     rest   rest of 11,665 on 2 cores")
        for title, folder in {
            "COCO polygons": "polygons",
            "COCO codes": "codes",
            "LabelMe": "annotations/train",
        }.items():
            files = list((root / folder).glob("*.json"))
            parsing = seconds(lambda files=files: [json.loads(f.read_bytes()) for f in files])
            words = ["coco", "--json", str(files[0]), "--images", str(root / "images" / "train")]
            words += ["--ontology", "vehicleseg10k", "--out", str(root / "out" / folder)]
            if title == "LabelMe":
                words = ["vehicleseg10k", "--root", str(root), "--splits", "train"]
            args = commands.parse_args([*words, "--workers", "1", "--strict"])
            with contextlib.redirect_stdout(io.StringIO()):
                whole = seconds(lambda args=args: prepare(args))
            rest = whole - headers - parsing
            scaled = rest * PHOTOS / count / CORES
            print(f"{title:<16}{headers:>11.2f}{parsing:>9.2f}{rest:>9.2f}{scaled:>12.1f}")


if __name__ == "__main__":
    main()
