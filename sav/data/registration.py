"""Part data sets in Detectron2's catalogs, as the config lists them."""

from __future__ import annotations

import logging
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from sav.d2 import CfgNode, DatasetCatalog, MetadataCatalog
from sav.data.annotation_file import Stamp, file_stamp, read_annotation_file
from sav.errors import SAVError
from sav.formats.folders import is_folder
from sav.ontology import Ontology, available_ontologies, load_ontology, load_views

_LISTED = 3
"""Lost annotations that a warning names."""

logger = logging.getLogger(__name__)


def register_part_datasets(cfg: CfgNode) -> None:
    """Register every data set of ``DATASETS.PARTS``; doing it twice changes nothing.

    Annotation files lie under ``DATASETS.ROOT``. Those of ``DATASETS.TRAIN`` and ``DATASETS.TEST``
    are checked at once, the others when they are first used.

    Each record has Detectron2's standard keys, "vehicle_id" in its annotations, "photo_id",
    which is unique over all data sets, "vocabulary", the name of the ontology that its class ids
    are of, and where its image has a "group" also "vehicle_group".

    Raises:
        SAVError: a data set that the config uses is unknown, missing, does not fit its ontology or
            the model's, or its name already stands for another file.
    """
    root = Path(cfg.DATASETS.ROOT)
    for name, json_file in cfg.DATASETS.PARTS.items():
        path = (root / json_file).resolve()
        if name in DatasetCatalog.list():
            known = MetadataCatalog.get(name).get("json_file")
            if known != str(path):
                raise SAVError(f"data set '{name}' is already registered, for {known}")
            continue
        DatasetCatalog.register(name, partial(_load, name, path, _sources(cfg)))
        MetadataCatalog.get(name).set(json_file=str(path))
    _check_used(cfg)


def _check_used(cfg: CfgNode) -> None:
    graph = load_ontology(cfg.MODEL.SAV.ONTOLOGY)
    known_views = [view.vocabulary for view in load_views(graph, cfg.MODEL.SAV.VIEWS)]
    for name in dict.fromkeys((*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)):
        if name not in DatasetCatalog.list():
            known = ", ".join(sorted(cfg.DATASETS.PARTS)) or "none"
            raise SAVError(
                f"data set '{name}' is not registered; add it to DATASETS.PARTS, which has {known}"
            )
        if name not in cfg.DATASETS.PARTS:
            continue
        path = Path(MetadataCatalog.get(name).json_file)
        ontology = _describe(name, path, _sources(cfg))
        if ontology not in known_views:
            hint = f"; it is one of {ontology.view_of}" if ontology.view_of else ""
            raise SAVError(
                f"data set '{name}' has the parts of ontology {ontology.name}, but "
                f"MODEL.SAV.ONTOLOGY is {cfg.MODEL.SAV.ONTOLOGY}, of which it is no view{hint}"
            )
        lost = read_annotation_file(file_stamp(path)).lost
        if lost and name in cfg.DATASETS.TEST:
            raise SAVError(
                f"{path}: {len(lost)} of its annotations cannot be used, and a test needs all of "
                f"them: {lost[0]}; mend them, or leave them out by 'sav prepare coco'"
            )


def _sources(cfg: CfgNode) -> tuple[str, ...]:
    """Names or files of the vocabularies that the config names."""
    return (cfg.MODEL.SAV.ONTOLOGY, *cfg.MODEL.SAV.VIEWS)


def _describe(name: str, path: Path, known_sources: tuple[str, ...]) -> Ontology:
    """Check an annotation file's header and fill the metadata of its data set.

    Args:
        name: of the data set.
        path: of the file.
        known_sources: see :func:`_sources`.

    Returns:
        its ontology.
    """
    if not path.is_file():
        shipped = known_sources[0] in ("vehicleseg10k", "dsmlr")
        raise SAVError(
            f"{path}: data set '{name}' has no annotation file; make it with 'sav prepare "
            f"{known_sources[0] if shipped else 'coco'} --out {path.parent} ...', or set "
            "DATASETS.ROOT (or the environment variable SAV_DATASETS) to the folder that has it"
        )
    file = read_annotation_file(file_stamp(path))
    # A user's ontology file is known by its path, which only the config has.
    sources = {load_ontology(source).name: source for source in known_sources}
    stated = file.info.get("ontology", next(iter(sources)))
    source = sources.get(stated, stated)
    if source not in (*known_sources, *available_ontologies()):
        raise SAVError(
            f"{path}: no vocabulary '{stated}' is known; add its YAML file to MODEL.SAV.VIEWS, or "
            "set MODEL.SAV.ONTOLOGY to it"
        )
    ontology = load_ontology(source)
    names = [category["name"] for category in file.categories]
    if names != ontology.class_names:
        wrong = next((n for n in names if n not in ontology.class_names), None)
        what = f"category '{wrong}' is not" if wrong else "not all categories are, or in its order,"
        raise SAVError(
            f"{path}: {what} in the ontology {ontology.name}; "
            "'sav prepare coco' converts such files, see datasets/README.md"
        )
    # Who knows better where the images are has said so before.
    known_root = MetadataCatalog.get(name).get("image_root")
    image_root = Path(known_root or path.parent / file.info.get("image_root", "."))
    if not is_folder(image_root):
        raise SAVError(f"{path}: its image folder {image_root} does not exist; prepare it again")
    MetadataCatalog.get(name).set(
        thing_classes=ontology.class_names,
        thing_colors=ontology.colors,
        thing_dataset_id_to_contiguous_id={c["id"]: i for i, c in enumerate(file.categories)},
        image_root=str(image_root.resolve()),
        ontology=str(source),
        evaluator_type="sav_parts",
    )
    return ontology


def _load(name: str, path: Path, known_sources: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the catalog calls: the records of a data set, which the caller may change."""
    ontology = _describe(name, path, known_sources)
    image_root = MetadataCatalog.get(name).image_root
    stamp = file_stamp(path)
    _check_photos(stamp, image_root)
    _warn_of_lost(stamp)
    records = list(read_annotation_file(stamp).records())
    for record in records:
        record["file_name"] = str(Path(image_root, record["file_name"]))
        record["photo_id"] = f"{name}/{record['image_id']}"
        record["vocabulary"] = ontology.name
    return records


def load_training_records(name: str) -> list[dict[str, Any]]:
    """The records of a data set that can be learned from.

    Crowd annotations are not: what is in them is not told apart. A photo that has no others is left
    out, or it would say that there is nothing to see.

    Raises:
        SAVError: the data set is not usable.
    """
    records = DatasetCatalog.get(name)
    crowds = sum(one.get("iscrowd", 0) != 0 for r in records for one in r["annotations"])
    kept = [r for r in records if not r["annotations"] or shows_parts(r)]
    if crowds:
        logger.warning(
            "%s: %d crowd annotations (iscrowd 1) ARE NOT USED, and %d photos without others are "
            "left out; if each is of one part, set iscrowd to 0",
            name,
            crowds,
            len(records) - len(kept),
        )
    return kept


def shows_parts(record: dict[str, Any]) -> bool:
    """Whether a photo has an annotation other than crowds."""
    return any(not annotation.get("iscrowd", 0) for annotation in record["annotations"])


@lru_cache
def _warn_of_lost(stamp: Stamp) -> None:
    """Say once in a process what of an annotation file is not used."""
    file = read_annotation_file(stamp)
    if file.lost:
        logger.warning(
            "%s: %d ANNOTATIONS ARE LOST, and %d photos without others are left out: %s",
            stamp[0],
            len(file.lost),
            file.num_left_out,
            "; ".join([*file.lost[:_LISTED], *(["..."] if len(file.lost) > _LISTED else [])]),
        )


@lru_cache
def _check_photos(stamp: Stamp, image_root: str) -> None:
    """Look every photo of an annotation file up, once in a process.

    Raises:
        SAVError: a photo is missing.
    """
    paths = [Path(image_root, r["file_name"]) for r in read_annotation_file(stamp).records()]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        share = f"{len(missing)} of the {len(paths)} images"
        raise SAVError(f"{missing[0]}: no such image; {share} that {stamp[0]} lists are missing")
