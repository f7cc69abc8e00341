"""Spoils the files of a format again and again, and reads them: python -m tests.formats.fuzzing.

In a process of its own, because what it looks for ends processes: native code that reads memory
which is not its own, files that take all memory, and loops without an end.
"""

import argparse
import json
import random
import re
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sav.errors import SAVError
from sav.formats.annotation_format import LabelledPhoto
from sav.formats.entries import ready
from sav.formats.images import IMAGE_SUFFIXES
from sav.formats.reading import Reading, read_entry
from sav.formats.records import PartInstance
from sav.formats.registry import FORMATS

GIBIBYTE = 2**30
LONGEST = 20
"""Seconds of CPU that one data set of three small photos may take."""
CLASSES = ["Wheel", "door"]
ODD = [None, True, 0, -1, 0.5, 1e308, -1e308, float("nan"), float("inf"), 2**31, 2**63, 10**40]
ODD += ["", "a", "1", "..", "/", "\0", "\ud800", "x" * 5000, [], {}, [[]], [0] * 7, [None], {"": 0}]
TOKENS = [
    b"NaN",
    b"-1",
    b"1e309",
    b"9" * 40,
    b"0",
    b"",
    b"null",
    b"99999999",
    b"-0.0",
    b"\xff",
    b"<",
]


def write_seed(name: str, folder: Path) -> None:
    """A small data set of a format, photos in "photos", annotations in "data"."""
    mask = np.zeros((48, 64), dtype=bool)
    mask[4:30, 4:40] = True
    mask[10:20, 10:20] = False
    pieces = np.roll(mask, 16, axis=1) ^ mask
    parts = [
        PartInstance.of_mask("Wheel", mask, 0),
        PartInstance.of_mask("door", pieces, 1),
        PartInstance("Wheel", PartInstance.of_mask("", ~mask).code, None, 0.5),
    ]
    photos = []
    for photo in ("a.jpg", "b.png", "c.avif"):
        (folder / "photos").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 48), (9, 9, 9)).save(folder / "photos" / photo)
        photos.append(LabelledPhoto(folder / "photos" / photo, photo, 48, 64, parts))
    if FORMATS[name].write:
        FORMATS[name].write(iter(photos), CLASSES, folder / "data")
    else:
        write_predictions(photos, folder / "data")


def write_predictions(photos: list[LabelledPhoto], out: Path) -> None:
    """As `sav predict` writes them; that would need a model."""
    out.mkdir()
    for photo in photos:
        parts = [{"name": p.label, "score": p.score, **p.to_annotation(1)} for p in photo.instances]
        for part in parts:
            part["mask"] = part.pop("segmentation")
        size = {"width": photo.width, "height": photo.height}
        contents = {"file": str(photo.image), "ontology": "test", **size, "parts": parts}
        (out / f"{Path(photo.name).stem}.json").write_text(json.dumps(contents))


def spoil(content: bytes, rng: random.Random) -> bytes:
    """A file with one to three faults."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        content = rng.choice([_spoil_tree, _spoil_tree, _spoil_token, _spoil_bytes])(content, rng)
    return content


def _spoil_tree(content: bytes, rng: random.Random) -> bytes:
    """One node of JSON becomes another value, goes, is doubled, or is buried in lists."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        tree = None
    if not isinstance(tree, dict | list):  # no JSON, or one number of it
        return _spoil_bytes(content, rng)
    nodes, todo = [], [tree]
    while todo:
        node = todo.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        nodes += [(node, key) for key in keys]
        todo += [node[key] for key in keys if isinstance(node[key], dict | list) and node[key]]
    if not nodes:
        return content
    node, key = rng.choice(nodes)
    change = rng.randrange(5)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, list):
        node.extend([node[key]] * rng.choice([1, 1000]))
    elif change == 2:
        node[key] = json.loads("[" * 500 + "]" * 500)
    elif change == 3:
        other, from_key = rng.choice(nodes)
        node[key] = json.loads(json.dumps(other[from_key])) if from_key in _keys(other) else 0
    else:
        node[key] = rng.choice(ODD)
    try:
        return json.dumps(tree).encode()
    except RecursionError:  # lists in lists in lists: deeper than a file can be written
        return content


def _keys(node: dict | list) -> object:
    return node if isinstance(node, dict) else range(len(node))


def _spoil_token(content: bytes, rng: random.Random) -> bytes:
    """One number or word of a text becomes another."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?|[A-Za-z_]+", content))
    if not found:
        return _spoil_bytes(content, rng)
    one = rng.choice(found)
    return content[: one.start()] + rng.choice(TOKENS) + content[one.end() :]


def _spoil_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes are turned, cut out, doubled or put in."""
    at = rng.randrange(len(content) + 1)
    end = min(len(content), at + rng.choice([1, 1, 4, 100, len(content)]))
    noise = rng.randbytes(rng.choice([1, 4, 50]))
    middle = [b"", content[at:end] * 2, noise, noise[: end - at]]
    return content[:at] + rng.choice(middle) + content[end:]


def read_all(name: str, folder: Path, rng: random.Random) -> list[str]:
    """Problems of a data set; only a SAVError may come out."""
    form = FORMATS[name]
    images = folder / "photos" if rng.random() < 0.8 else None
    try:
        for one in FORMATS.values():
            one.detect(folder / "data")
        entries = ready(form, form.find(folder / "data", images), folder / "made")
    except SAVError as error:
        return [str(error)]
    reading = Reading(group=rng.choice(["instance", "vehicle"]), split_classes=frozenset({"door"}))
    results = [read_entry(form, reading, entry) for entry in entries]
    return [str(problem) for result in results for problem in result.problems]


def fuzz(name: str, folder: Path, seconds: float, start: int) -> None:
    """Spoil one file after another until the time is over; ``log`` has the number of the last."""
    write_seed(name, folder)
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    notes = [path for path in files if path.is_relative_to(folder / "data")]
    notes = [p for p in notes if p.suffix not in IMAGE_SUFFIXES] * 9 + list(files)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 2 * GIBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    unforeseen: set[str] = set()
    number, end = start, time.monotonic() + seconds
    while time.monotonic() < end:
        rng = random.Random(number)
        path = rng.choice(notes)
        path.write_bytes(spoil(files[path], rng))
        (folder / "log").write_text(str(number))
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)  # whose signal ends the process
        problems = read_all(name, folder, rng)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        path.write_bytes(files[path])
        unforeseen.update(line for line in problems if re.search(r"read: [A-Za-z]+Error: ", line))
        if any("MemoryError" in line for line in problems):
            raise SystemExit(f"{name}, number {number}: takes more memory than there is")
        number += 1
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - memory
    report = {"read": number - start, "memory": used, "unforeseen": sorted(unforeseen)[:20]}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=list(FORMATS))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--start", type=int, default=0, help="the first number; one is one fault")
    args = parser.parse_args()
    fuzz(args.name, args.folder, args.seconds, args.start)
