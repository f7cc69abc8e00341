"""What mappers are made of: reading images, and annotations to instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image, ImageOps

from sav.d2.builtin.masks import BitMasks, PolygonMasks
from sav.d2.builtin.structures import Boxes, BoxMode, Instances
from sav.d2.builtin.transforms import Transform, TransformList
from sav.d2.shared.image_errors import reading
from sav.d2.shared.masks import segmentation_to_bitmask


class SizeMismatchError(ValueError):
    """The file has another size than its record says."""


def read_image(file_name: str | Path, format: str | None = None) -> np.ndarray:
    """Read an image the right way up (EXIF orientation is applied).

    Args:
        file_name: path of the file.
        format: ``RGB``, ``BGR``, ``L`` or None for the file's own mode.

    Returns:
        uint8 (H, W, 3), or (H, W, 1) for ``L``.

    Raises:
        SAVError: when the file is missing, broken or far too large.
    """
    with reading(file_name), Image.open(file_name) as opened:
        image = ImageOps.exif_transpose(opened)
        image.load()
    if format is not None:
        image = image.convert("RGB" if format == "BGR" else format)
    array = np.asarray(image)
    if format == "BGR":
        array = array[:, :, ::-1]
    return array[:, :, None] if format == "L" else array


def check_image_size(dataset_dict: dict[str, Any], image: np.ndarray) -> None:
    """Check an image against the size in its record, and note the size where it has none.

    Args:
        dataset_dict: a record; ``width`` and ``height`` are added if absent.
        image: (H, W, C).

    Raises:
        SizeMismatchError: when they differ.
    """
    height, width = image.shape[:2]
    wanted = dataset_dict.get("width", width), dataset_dict.get("height", height)
    if wanted != (width, height):
        raise SizeMismatchError(
            f"{dataset_dict.get('file_name', 'image')}: is {width}x{height} pixels, but its record "
            f"says {wanted[0]}x{wanted[1]}; if it was rotated by hand, write the record again"
        )
    dataset_dict.setdefault("width", width)
    dataset_dict.setdefault("height", height)


def transform_instance_annotations(
    annotation: dict[str, Any],
    transforms: Transform | list[Transform],
    image_size: tuple[int, int],
) -> dict[str, Any]:
    """Apply the transform of an image to one of its annotations.

    Args:
        annotation: with ``bbox``, ``bbox_mode`` and perhaps ``segmentation``; it is changed.
        transforms: what was applied to the image.
        image_size: height, width of the transformed image, to clip the box.

    Returns:
        The annotation, its box XYXY_ABS, its RLE (if it was one) a bool mask.
    """
    if isinstance(transforms, tuple | list):
        transforms = TransformList(transforms)
    box = BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS)
    box = transforms.apply_box(np.array([box], dtype=np.float64))[0]
    annotation["bbox"] = box.clip(0, (*image_size[::-1], *image_size[::-1]))
    annotation["bbox_mode"] = BoxMode.XYXY_ABS
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        polygons = [np.asarray(p, dtype=np.float64).reshape(-1, 2) for p in segmentation]
        annotation["segmentation"] = [p.reshape(-1) for p in transforms.apply_polygons(polygons)]
    elif isinstance(segmentation, dict):
        mask = transforms.apply_segmentation(mask_util.decode(segmentation))
        annotation["segmentation"] = mask.astype(bool)
    return annotation


def annotations_to_instances(
    annos: list[dict[str, Any]], image_size: tuple[int, int], mask_format: str = "polygon"
) -> Instances:
    """Gather the annotations of an image.

    Args:
        annos: transformed annotations.
        image_size: height, width in pixels.
        mask_format: ``polygon`` or ``bitmask``. An RLE or a bool mask in the image makes all of its
            masks bit masks, whatever is asked for.

    Returns:
        Instances with ``gt_boxes``, ``gt_classes`` (int64) and ``gt_masks``, which are there also
        when there is no instance. Only annotations without segmentation give no ``gt_masks``.

    Raises:
        ValueError: for a mask of the wrong size.
    """
    boxes = [BoxMode.convert(a["bbox"], a["bbox_mode"], BoxMode.XYXY_ABS) for a in annos]
    instances = Instances(image_size)
    instances.gt_boxes = Boxes(np.asarray(boxes, dtype=np.float32).reshape(-1, 4))
    instances.gt_classes = torch.tensor([int(a["category_id"]) for a in annos], dtype=torch.int64)
    segmentations = [a["segmentation"] for a in annos if "segmentation" in a]
    if annos and not segmentations:
        return instances
    if mask_format == "polygon" and all(isinstance(s, list) for s in segmentations):
        instances.gt_masks = PolygonMasks(segmentations)
    else:
        masks = np.zeros((len(segmentations), *image_size), dtype=bool)
        for mask, segmentation in zip(masks, segmentations, strict=True):
            mask[:] = segmentation_to_bitmask(segmentation, image_size)
        instances.gt_masks = BitMasks(masks)
    return instances


def filter_empty_instances(
    instances: Instances, by_box: bool = True, by_mask: bool = True, box_threshold: float = 1e-5
) -> Instances:
    """Drop instances without area.

    Args:
        instances: with ``gt_boxes``, perhaps ``gt_masks``.
        by_box: drop those whose box has a side up to ``box_threshold`` pixels.
        by_mask: drop those whose mask is empty.
        box_threshold: in pixels.
    """
    keep = torch.ones(len(instances), dtype=torch.bool)
    if by_box:
        keep &= instances.gt_boxes.nonempty(threshold=box_threshold)
    if by_mask and instances.has("gt_masks"):
        keep &= instances.gt_masks.nonempty()
    return instances[keep]
