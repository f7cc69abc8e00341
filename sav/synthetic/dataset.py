"""Writes data sets of rendered images in VehicleSeg10K's layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from sav.errors import SAVError
from sav.files import write_atomic
from sav.parallel import map_in_processes
from sav.synthetic.annotate import annotate, to_labelme
from sav.synthetic.bodies import BODY_TYPES
from sav.synthetic.parts import load_mapping
from sav.synthetic.scene import render_scene

ANNOTATION_FORMATS: tuple[str, ...] = ("labelme", "index_png")
MANIFEST = "synthetic.json"
_RENDERER_VERSION = 2  # raise it when the same seed gives other bytes


@dataclass(frozen=True)
class _Settings:
    """What decides the bytes of a data set; see :func:`generate_dataset`."""

    splits: dict[str, int]
    seed: int
    image_size: int
    annotation_format: str
    ontology: str
    color_masks: bool
    bodies: list[str]
    renderer_version: int = _RENDERER_VERSION


@dataclass(frozen=True)
class _Job:
    """One image to write."""

    root: Path
    split: str
    stem: str
    key: tuple[int, int, int]
    settings: _Settings

    @property
    def image(self) -> Path:
        return self.root / "images" / self.split / f"{self.stem}.jpg"

    @property
    def annotation(self) -> Path:
        suffix = ".json" if self.settings.annotation_format == "labelme" else ".png"
        return self.root / "annotations" / self.split / f"{self.stem}{suffix}"


def generate_dataset(
    out_dir: str | Path,
    *,
    splits: Mapping[str, int] | None = None,
    seed: int = 0,
    image_size: int = 256,
    workers: int = 0,
    annotation_format: str = "labelme",
    ontology: str = "vehicleseg10k",
    color_masks: bool = False,
    bodies: Sequence[str] = BODY_TYPES,
) -> Path:
    """Render a data set.

    The bytes depend on the settings, not on the number of workers. A finished data set is left
    alone, an interrupted one is completed.

    Args:
        out_dir: gets images/<split>/<stem>.jpg and annotations/<split>/<stem>.json (or .png).
        splits: number of images of each split; 2000 "train" and 200 "valid" when None.
        seed: of the whole data set.
        image_size: side of the square images in pixels.
        workers: number of processes, 0 for one a core.
        annotation_format: "labelme" polygons or "index_png" masks (class id + 1).
        ontology: name of the part vocabulary.
        color_masks: with "index_png", write <stem>_color.png beside each mask.
        bodies: types of vehicles that occur; none for images without vehicles.

    Returns:
        `out_dir`.

    Raises:
        SAVError: a setting is out of range, or `out_dir` holds something else.
    """
    root = Path(out_dir)
    settings = _Settings(
        dict(splits or {"train": 2000, "valid": 200}),
        seed,
        image_size,
        annotation_format,
        ontology,
        color_masks,
        list(bodies),
    )
    _check(settings)
    if _claim(root, settings):
        return root
    jobs = [job for job in _jobs(root, settings) if not job.annotation.is_file()]
    for split in settings.splits:
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
    for _ in map_in_processes(_render, jobs, workers=workers, chunk=8, title="rendering"):
        pass
    _write_manifest(root, settings, complete=True)
    return root


def _check(settings: _Settings) -> None:
    load_mapping(settings.ontology)
    if settings.annotation_format not in ANNOTATION_FORMATS:
        raise SAVError(
            f"annotation format '{settings.annotation_format}': not known; "
            f"choose one of {', '.join(ANNOTATION_FORMATS)}"
        )
    if not 32 <= settings.image_size <= 2048:
        raise SAVError(f"image size {settings.image_size}: choose 32 to 2048 pixels")
    unknown = [body for body in settings.bodies if body not in BODY_TYPES]
    if unknown:
        raise SAVError(f"bodies {unknown}: not known; choose some of {', '.join(BODY_TYPES)}")
    if settings.seed < 0:
        raise SAVError(f"seed {settings.seed}: choose a number that is not negative")
    for split, count in settings.splits.items():
        if count < 0 or not split.isidentifier():
            raise SAVError(f"split '{split}' of {count} images: give a plain name and a number")


def _claim(root: Path, settings: _Settings) -> bool:
    """Reserve a folder for a data set; True when it is there in full already."""
    manifest = root / MANIFEST
    if not manifest.is_file():
        if root.exists() and not _is_empty(root):
            raise SAVError(f"{root}: not empty and no synthetic data set; choose a new folder")
        root.mkdir(parents=True, exist_ok=True)
        _write_manifest(root, settings, complete=False)
        return False
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        complete, other = found["complete"], found["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise SAVError(f"{manifest}: cannot be read; delete the folder and start again") from error
    wanted = asdict(settings)
    if other != wanted:
        changed = sorted(k for k in wanted if other.get(k) != wanted[k])
        raise SAVError(
            f"{root}: holds a synthetic data set with another {', '.join(changed)}; "
            "choose a new folder, or delete this one"
        )
    return bool(complete)


def _is_empty(root: Path) -> bool:
    """Whether a folder holds nothing but hidden files, the rest of an interrupted write perhaps."""
    return root.is_dir() and all(path.name.startswith(".") for path in root.iterdir())


def _write_manifest(root: Path, settings: _Settings, *, complete: bool) -> None:
    content = {"settings": asdict(settings), "complete": complete}
    write_atomic(root / MANIFEST, json.dumps(content, indent=2) + "\n")


def _jobs(root: Path, settings: _Settings) -> Iterator[_Job]:
    number = 0
    for split_index, (split, count) in enumerate(settings.splits.items()):
        for index in range(count):
            number += 1
            yield _Job(root, split, f"{number:09d}", (settings.seed, split_index, index), settings)


def _render(job: _Job) -> None:
    """Render one image and write it; the annotation comes last and marks it as done."""
    rng = np.random.default_rng(job.key)
    scene = render_scene(rng, job.settings.image_size, body_types=job.settings.bodies)
    quality = int(rng.integers(72, 97))
    mapping = load_mapping(job.settings.ontology)
    labels = annotate(scene, mapping)
    write_atomic(job.image, _encode(scene.image, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality]))
    if job.settings.annotation_format == "labelme":
        path = f"../../images/{job.split}/{job.image.name}"
        record = to_labelme(labels, mapping.ontology.class_names, path)
        write_atomic(job.annotation, json.dumps(record))
        return
    if job.settings.color_masks:
        colors = np.array([(0, 0, 0), *mapping.ontology.colors], np.uint8)
        picture = _encode(colors[labels.index_map], ".png")
        write_atomic(job.annotation.with_name(f"{job.stem}_color.png"), picture)
    write_atomic(job.annotation, _encode(labels.index_map, ".png"))


def _encode(image: np.ndarray, suffix: str, options: list[int] | None = None) -> bytes:
    """Encode an RGB or a one-channel uint8 image."""
    pixels = image[..., ::-1] if image.ndim == 3 else image
    return cv2.imencode(suffix, pixels, options or [])[1].tobytes()
