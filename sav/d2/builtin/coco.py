"""Reading COCO instance annotations."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pycocotools.mask as mask_util
from faster_coco_eval import COCO

from sav.d2.builtin.catalog import MetadataCatalog

logger = logging.getLogger(__name__)


def load_coco_json(
    json_file: str,
    image_root: str,
    dataset_name: str,
    extra_annotation_keys: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Load COCO instance annotations as standard records.

    Args:
        json_file: the annotation file.
        image_root: folder that ``file_name`` is relative to.
        dataset_name: its metadata receives ``thing_classes`` and
            ``thing_dataset_id_to_contiguous_id``: category ids become contiguous from 0 in the
            order of the ids in the file.
        extra_annotation_keys: further keys to carry from each annotation.

    Returns:
        One dict an image: ``file_name``, ``height``, ``width``, ``image_id``, ``annotations``. An
        annotation has ``iscrowd``, ``bbox`` (XYWH in pixels), ``category_id`` and
        ``segmentation`` (polygons, or an RLE whose counts are compressed bytes). Polygons of fewer
        than three points are dropped, and an annotation with no other polygon with them.
    """
    coco = COCO(str(json_file))

    category_ids = sorted(coco.getCatIds())
    id_map = {category_id: i for i, category_id in enumerate(category_ids)}
    names = [category["name"] for category in coco.loadCats(category_ids)]
    MetadataCatalog.get(dataset_name).set(
        thing_classes=names, thing_dataset_id_to_contiguous_id=id_map
    )
    keys = ["iscrowd", "bbox", "category_id", *(extra_annotation_keys or [])]
    if len(coco.anns) != len(coco.dataset.get("annotations", [])):
        raise AssertionError(f"{json_file}: annotation ids are not unique")

    records, dropped = [], 0
    for image_id in sorted(coco.imgs):
        image = coco.imgs[image_id]
        annotations = []
        for source in coco.imgToAnns[image_id]:
            annotation = {key: source[key] for key in keys if key in source}
            if annotation.get("bbox") is not None and len(annotation["bbox"]) == 0:
                raise ValueError(f"{json_file}: annotation {source['id']} has an empty box")
            if source.get("segmentation"):
                segmentation = _clean_segmentation(source["segmentation"])
                if segmentation is None:
                    dropped += 1
                    continue
                annotation["segmentation"] = segmentation
            annotation["category_id"] = id_map[annotation["category_id"]]
            annotations.append(annotation)
        records.append(
            {
                "file_name": str(Path(image_root) / image["file_name"]),
                "height": image["height"],
                "width": image["width"],
                "image_id": image_id,
                "annotations": annotations,
            }
        )
    if dropped:
        logger.warning("%s: dropped %d annotations without a valid polygon", json_file, dropped)
    logger.info("Loaded %d images in COCO format from %s", len(records), json_file)
    return records


def _clean_segmentation(segmentation: Any) -> dict[str, Any] | list[list[float]] | None:
    """Compress an RLE, or keep the polygons of three points and more; None if none is left."""
    if isinstance(segmentation, dict):
        if isinstance(segmentation["counts"], list):
            segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
        return segmentation
    return [p for p in segmentation if len(p) % 2 == 0 and len(p) >= 6] or None
