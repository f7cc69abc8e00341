"""Photos cut into folds, such that no fold holds a vehicle or a copy of a photo of another."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from sav.bench.runs import data_set_options
from sav.d2 import CfgNode, MetadataCatalog
from sav.data.registration import register_part_datasets
from sav.errors import SAVError
from sav.files import write_atomic
from sav.formats.coco import read_coco
from sav.formats.images import read_rgb
from sav.gallery.photos import Photo, photo_hash
from sav.gallery.vehicles import Vehicle, VehicleTable


def fold_options(
    cfg: CfgNode, count: int, folder: Path, photos: int | None = None
) -> dict[str, list[str]]:
    """Cut all photos of DATASETS.TRAIN and DATASETS.TEST into folds; each is tested on once.

    Args:
        cfg: names the data sets, all of one vocabulary.
        count: of folds.
        folder: gets one part annotation file a fold, and with ``photos`` another one.
        photos: to train on, drawn from the other folds; None for all of them.

    Returns:
        the config options of the run that trains on the other folds, by the fold's name.

    Raises:
        SAVError: the data sets do not fit together, are too small for as many folds or photos, or
            the folder has folds of others.
    """
    pool = PhotoPool.of(cfg)
    places = assign_folds(pool.photos, count)
    names = [f"fold{fold}" for fold in range(count)]
    chosen = {name: np.flatnonzero(places == fold) for fold, name in enumerate(names)}
    training = {name: tuple(other for other in names if other != name) for name in names}
    if photos is not None:
        for fold, name in enumerate(names):
            chosen[f"{photos}_without_{name}"] = _draw(np.flatnonzero(places != fold), photos)
            training[name] = (f"{photos}_without_{name}",)
    files = {name: folder.resolve() / f"{name}.json" for name in chosen}
    for name, rows in chosen.items():
        pool.write(files[name], rows)
    return {
        name: [
            *data_set_options(files),
            *("DATASETS.TRAIN", str(training[name])),
            *("DATASETS.TEST", str((name,))),
        ]
        for name in names
    }


def _draw(rows: np.ndarray, photos: int) -> np.ndarray:
    if photos > len(rows):
        raise SAVError(f"--photos {photos}: there are {len(rows)} to train on")
    return np.sort(np.random.default_rng(0).permutation(rows)[:photos])


def assign_folds(photos: Sequence[Photo], count: int) -> np.ndarray:
    """Deal photos out to folds of about one size; those of one vehicle go to the same fold.

    Args:
        photos: of different keys.
        count: of folds.

    Returns:
        (N,) int64 number of the fold of each photo, from 0; always the same for the same photos.

    Raises:
        SAVError: there are too few photos that are not of the same vehicle.
    """
    vehicles = vehicle_of_each(photos)
    sizes = np.bincount(vehicles)
    total = len(sizes)
    if not 2 <= count <= total:
        raise SAVError(f"--folds {count}: these photos can be cut into 2 to {total} folds")
    order = np.random.default_rng(0).permutation(total)
    fold_sizes = np.zeros(count, dtype=np.int64)
    fold_of = np.zeros(total, dtype=np.int64)
    for one in order[np.argsort(-sizes[order], kind="stable")]:
        fold_of[one] = fold_sizes.argmin()
        fold_sizes[fold_of[one]] += sizes[one]
    return fold_of[vehicles]


def vehicle_of_each(photos: Sequence[Photo]) -> np.ndarray:
    """Which photos are of one vehicle, or copies: those that must not be neighbours.

    Args:
        photos: of different keys.

    Returns:
        (N,) int64 number of the vehicle of each photo, from 0; see :meth:`VehicleTable.excluded`.
    """
    table = VehicleTable()
    rows = np.array(table.insert([*map(Vehicle, photos)]), dtype=np.int64)
    links = [rows[table.excluded([photo], rows[None])[0]] for photo in photos]
    ends = np.repeat(rows, [len(link) for link in links]), np.concatenate(links)
    graph = coo_array((np.ones(len(ends[0])), ends), shape=(len(rows), len(rows)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


@dataclass
class PhotoPool:
    """All photos of several data sets of one vocabulary.

    Attributes:
        header: what the annotation files share.
        images: records of N images, named by their full path.
        annotations: those of each image.
        photos: what tells them apart.
    """

    header: dict[str, Any]
    images: list[dict[str, Any]]
    annotations: list[list[dict[str, Any]]]
    photos: list[Photo]

    @classmethod
    def of(cls, cfg: CfgNode) -> PhotoPool:
        """Those of DATASETS.TRAIN and DATASETS.TEST.

        Raises:
            SAVError: they are of several vocabularies.
        """
        register_part_datasets(cfg)
        pool = cls({}, [], [], [])
        for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
            pool._add(name)
        return pool

    def _add(self, name: str) -> None:
        metadata = MetadataCatalog.get(name)
        contents = read_coco(Path(metadata.json_file))
        own = {"info": {"ontology": metadata.ontology}, "categories": contents["categories"]}
        self.header = self.header or own
        if own != self.header:
            raise SAVError(f"data set '{name}': folds need data sets of one vocabulary")
        by_image = defaultdict(list)
        for annotation in contents["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        for image in tqdm(contents["images"], desc=f"Photos of {name}", disable=None):
            file = str(Path(metadata.image_root) / image["file_name"])
            group = image.get("group")
            self.images.append({**image, "file_name": file})
            self.annotations.append(by_image[image["id"]])
            named = None if group is None else str(group)
            self.photos.append(
                Photo(f"{name}/{image['id']}", named, photo_hash(read_rgb(file)), file)
            )

    def write(self, file: Path, rows: np.ndarray) -> None:
        """Write a part annotation file of some photos, an index (R,).

        Raises:
            SAVError: the file is there, and holds others.
        """
        kept = [
            {**annotation, "image_id": int(row) + 1}
            for row in rows
            for annotation in self.annotations[row]
        ]
        contents = {
            **self.header,
            "images": [{**self.images[row], "id": int(row) + 1} for row in rows],
            "annotations": [{**annotation, "id": i} for i, annotation in enumerate(kept, start=1)],
        }
        text = json.dumps(contents)
        if file.is_file() and file.read_text("utf-8") != text:
            raise SAVError(f"{file}: holds other photos than this fold; choose another --output")
        write_atomic(file, text)
