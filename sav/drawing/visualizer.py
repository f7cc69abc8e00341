"""Drawing named, coloured instances over an image.

It aims at parts of a few pixels: outlines lie around a mask instead of on it, the smallest masks
come last, and names go where they hide the least of any mask and of one another.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sav.d2.shared.masks import polygons_to_bitmask, segmentation_to_bitmask
from sav.drawing.label_places import middle_of, place_labels

_Color = tuple[float, float, float]

_MAX_SAMPLES = 20_000
"""Pixels of a mask that are enough to place its name."""


@unique
class ColorMode(IntEnum):
    """What colours mean; instances take their class's colour wherever the metadata has one."""

    IMAGE = 0
    SEGMENTATION = 1
    IMAGE_BW = 2  # as SEGMENTATION, over a grey image


class VisImage:
    """A drawing in progress.

    Args:
        img: uint8 RGB (H, W, 3); it is copied.
        scale: size of the drawing relative to the image.
    """

    def __init__(self, img: np.ndarray, scale: float = 1.0) -> None:
        self.scale = scale
        self.canvas = np.array(img[:, :, :3], order="C")
        if scale != 1.0:
            method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
            self.canvas = cv2.resize(self.canvas, None, fx=scale, fy=scale, interpolation=method)
        self.height, self.width = self.canvas.shape[:2]

    def get_image(self) -> np.ndarray:
        """Return the drawing, uint8 RGB."""
        return self.canvas

    def save(self, filepath: str | Path) -> None:
        """Write the drawing to a file."""
        Image.fromarray(self.canvas).save(filepath)


@dataclass(frozen=True)
class _Patch:
    """A mask on the canvas, cut out with a margin for its outline.

    Attributes:
        top: row of the canvas where it starts.
        left: column of the canvas where it starts.
        mask: (h, w) uint8, 0 or 1.
        area: number of pixels set.
    """

    top: int
    left: int
    mask: np.ndarray
    area: int

    def of(self, canvas: np.ndarray) -> np.ndarray:
        """Return the part (h, w, 3) of a canvas below it."""
        height, width = self.mask.shape
        return canvas[self.top : self.top + height, self.left : self.left + width]

    def pixels(self) -> np.ndarray:
        """Return row and column on the canvas (n, 2) of pixels spread evenly over the mask."""
        points = np.argwhere(self.mask)[:: max(1, self.area // _MAX_SAMPLES)]
        return points + np.array([self.top, self.left])


class Visualizer:
    """Draws on an image.

    Args:
        img_rgb: uint8 RGB (H, W, 3); it is not changed.
        metadata: ``thing_classes`` gives names, ``thing_colors`` (0-255) colours.
        scale: size of the drawing relative to the image; 2 makes names on small images readable.
        instance_mode: see :class:`ColorMode`.
        font_size_scale: factor of the size of text.
    """

    def __init__(
        self,
        img_rgb: np.ndarray,
        metadata: Any = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
    ) -> None:
        self.img = np.asarray(img_rgb).clip(0, 255).astype(np.uint8)
        self.metadata = {} if metadata is None else metadata
        self._instance_mode = instance_mode
        self.output = VisImage(self.img, scale)
        side = np.sqrt(self.output.height * self.output.width)
        self._font = ImageFont.load_default(size=max(side / 45, 9.0) * font_size_scale)
        self._line_width = max(1, round(side / 500))

    def get_output(self) -> VisImage:
        """Return the drawing."""
        return self.output

    def draw_instance_predictions(self, predictions: Any, jittering: bool = True) -> VisImage:
        """Draw what a model found.

        Args:
            predictions: Instances with ``pred_classes``, ``scores``, and ``pred_masks``, (N, H, W),
                or ``pred_boxes``; boxes are drawn only where there are no masks.
            jittering: accepted for compatibility; a class has one colour, in all images.
        """
        classes, scores = (
            predictions.get(name).tolist() if predictions.has(name) else None
            for name in ("pred_classes", "scores")
        )
        masks = _get(predictions, "pred_masks")
        if self._instance_mode == ColorMode.IMAGE_BW:
            self._make_grey(masks)
        return self.overlay_instances(
            boxes=_get(predictions, "pred_boxes"),
            masks=masks,
            labels=self._names(classes, scores),
            assigned_colors=self._colors(classes),
        )

    def draw_dataset_dict(self, dic: dict[str, Any]) -> VisImage:
        """Draw the annotations of a record."""
        annotations = dic.get("annotations") or []
        classes = [a["category_id"] for a in annotations]
        masks = None
        if all("segmentation" in a for a in annotations):
            size = self.img.shape[:2]
            masks = [segmentation_to_bitmask(a["segmentation"], size) for a in annotations]
        return self.overlay_instances(
            boxes=[_corners(a["bbox"], a["bbox_mode"]) for a in annotations],
            masks=masks,
            labels=self._names(classes, None),
            assigned_colors=self._colors(classes),
        )

    def overlay_instances(
        self,
        *,
        boxes: Any = None,
        labels: Sequence[str] | None = None,
        masks: Any = None,
        assigned_colors: Sequence[_Color] | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draw instances, large ones first so that small ones stay visible.

        Args:
            boxes: Boxes, or (N, 4) XYXY in pixels of the image; drawn only without masks.
            labels: N texts; one that is wider than the drawing is left out.
            masks: BitMasks, PolygonMasks, or (N, H, W) of any resolution.
            assigned_colors: N colours (r, g, b) in [0, 1].
            alpha: opacity of masks.
        """
        corners = _array(() if boxes is None else boxes).reshape(-1, 4)
        bitmaps = map(self._filled, corners) if masks is None else self._bitmaps(masks)
        patches = [self._cut(bitmap) for bitmap in bitmaps]
        colors = assigned_colors or [_hue(i) for i in range(len(patches))]
        order = sorted(range(len(patches)), key=lambda i: -patches[i].area)
        for i in order:
            if masks is None:
                self.draw_box(corners[i], colors[i])
            else:
                self._paint(patches[i], colors[i], alpha)
        if labels is not None:
            shown = [i for i in order[::-1] if patches[i].area]
            self._label(*([values[i] for i in shown] for values in (patches, labels, colors)))
        return self.output

    def draw_box(self, box_coord: Sequence[float], edge_color: _Color) -> VisImage:
        """Draw a box XYXY in pixels of the image."""
        x0, y0, x1, y1 = (round(float(v) * self.output.scale) for v in box_coord)
        rgb = tuple(round(255 * channel) for channel in edge_color)
        cv2.rectangle(self.output.canvas, (x0, y0), (x1, y1), rgb, self._line_width)
        return self.output

    def _bitmaps(self, masks: Any) -> Sequence[np.ndarray]:
        """Return masks of any kind as arrays (H, W)."""
        if hasattr(masks, "polygons"):
            return [polygons_to_bitmask(p, *self.img.shape[:2]) for p in masks.polygons]
        return _array(masks)

    def _filled(self, box: np.ndarray) -> np.ndarray:
        mask = np.zeros(self.img.shape[:2], dtype=bool)
        x0, y0, x1, y1 = box.clip(0).round().astype(int)
        mask[y0:y1, x0:x1] = True
        return mask

    def _cut(self, mask: np.ndarray) -> _Patch:
        """Bring a mask to the canvas and cut it out."""
        size = self.output.width, self.output.height
        mask = np.ascontiguousarray(mask, dtype=bool).view(np.uint8)
        if mask.shape[::-1] != size:
            shrinks = size[0] < mask.shape[1]
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            share = cv2.resize(255 * mask, size, interpolation=method)
            # What is smaller than a pixel of the canvas keeps the pixels it covers most.
            mask = (share >= np.clip(share.max(), 1, 128)).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(mask)
        margin = self._line_width
        left, top = max(x - margin, 0), max(y - margin, 0)
        cut = mask[top : y + height + margin, left : x + width + margin]
        return _Patch(top, left, cut, cv2.countNonZero(cut) if width else 0)

    def _paint(self, patch: _Patch, color: _Color, alpha: float) -> None:
        if not patch.area:
            return
        crop = patch.of(self.output.canvas)
        tint = np.full_like(crop, [255 * channel for channel in color])
        tinted = cv2.addWeighted(crop, 1 - alpha, tint, alpha, 0)
        np.copyto(crop, tinted, where=patch.mask[..., None] > 0)
        width = self._stroke(patch)
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1,) * 2)
        crop[cv2.dilate(patch.mask, disk) > patch.mask] = _light(color)

    def _stroke(self, patch: _Patch) -> int:
        """Return the width of a part's outline: thin for a small one, or it hides neighbours."""
        return int(np.clip(np.sqrt(patch.area) / 10, 1, self._line_width))

    def _label(
        self, patches: Sequence[_Patch], labels: Sequence[str], colors: Sequence[_Color]
    ) -> None:
        """Write names; who comes first chooses first where."""
        pixels = [patch.pixels() for patch in patches]
        sizes = [self._text_size(text) for text in labels]
        cell = max(1, self._text_size("")[0] // 4)
        places = place_labels(self.output.canvas.shape[:2], pixels, sizes, cell)
        shown = [i for i, place in enumerate(places) if place is not None]
        for i in shown:
            corners = np.array([places[i], np.add(places[i], sizes[i])])
            self._connect(pixels[i], corners, self._stroke(patches[i]), colors[i])
        # After all lines, so that none crosses a name.
        for i in shown:
            self._write(labels[i], places[i], colors[i])

    def _connect(self, points: np.ndarray, corners: np.ndarray, stroke: int, color: _Color) -> None:
        """Draw a line from a name to its part, unless it lies on it."""
        apart = np.square(points - points.clip(*corners)).sum(axis=1)
        if apart.min() == 0:
            return
        # The line ends between edge and middle: it points into a part and hides little.
        tip = (points[apart.argmin()] + middle_of(points)) // 2
        start, end = tip[::-1].tolist(), tip.clip(*corners)[::-1].tolist()
        width = (stroke + 1) // 2
        cv2.line(self.output.canvas, start, end, (0, 0, 0), width + 1, cv2.LINE_AA)
        cv2.line(self.output.canvas, start, end, _light(color), width, cv2.LINE_AA)

    def _write(self, text: str, place: tuple[int, int], color: _Color) -> None:
        """Write light text of a hue on a dark plate."""
        (top, left), (height, width) = place, self._text_size(text)
        plate = self.output.canvas[top : top + height, left : left + width]
        image = Image.fromarray(plate // 4)
        middle = width / 2, height / 2
        ImageDraw.Draw(image).text(middle, text, font=self._font, fill=_light(color), anchor="mm")
        plate[:] = np.asarray(image)

    def _text_size(self, text: str) -> tuple[int, int]:
        """Return height and width of a text's plate in pixels of the canvas."""
        return sum(self._font.getmetrics()), round(self._font.getlength(text)) + 4

    def _names(self, classes: list[int] | None, scores: list[float] | None) -> list[str] | None:
        """Return ``name 95%`` for each instance, from what is known."""
        known = self.metadata.get("thing_classes")
        words = [] if classes is None else [[known[c] if known else str(c) for c in classes]]
        words += [] if scores is None else [[f"{score:.0%}" for score in scores]]
        return [" ".join(pair) for pair in zip(*words, strict=True)] if words else None

    def _colors(self, classes: list[int] | None) -> list[_Color] | None:
        known = self.metadata.get("thing_colors")
        colors = [tuple(v / 255 for v in known[c]) if known else _hue(c) for c in classes or ()]
        return None if classes is None else colors

    def _make_grey(self, masks: Any) -> None:
        """Take the colour out of everything that no mask covers."""
        canvas = self.output.canvas
        colored = canvas.copy()
        canvas[:] = cv2.cvtColor(colored, cv2.COLOR_RGB2GRAY)[..., None]
        for mask in () if masks is None else self._bitmaps(masks):
            patch = self._cut(mask)
            np.copyto(patch.of(canvas), patch.of(colored), where=patch.mask[..., None] > 0)


def _get(instances: Any, name: str) -> Any:
    return instances.get(name) if instances.has(name) else None


def _corners(box: Sequence[float], mode: int) -> tuple[float, ...]:
    """Return a box XYXY; in both engines mode 0 is XYXY_ABS and 1 is XYWH_ABS."""
    x, y, right, bottom = box
    return (x, y, x + right, y + bottom) if mode == 1 else (x, y, right, bottom)


def _array(values: Any) -> np.ndarray:
    """Return a tensor, or what has one, or anything like an array as an array."""
    values = getattr(values, "tensor", values)
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _hue(index: int) -> _Color:
    """Return a colour; those of neighbouring indices lie far apart (golden ratio)."""
    return colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.75, 0.95)


def _light(color: Sequence[float]) -> tuple[int, ...]:
    return tuple(round(255 * (0.4 * channel + 0.6)) for channel in color)
