"""Drawing named, coloured instances over an image."""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Iterable, Sequence
from enum import IntEnum, unique
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from sav.d2.builtin.catalog import Metadata
from sav.d2.builtin.detection_utils import annotations_to_instances
from sav.d2.builtin.masks import BitMasks, PolygonMasks
from sav.d2.builtin.structures import Boxes, Instances

_Color = tuple[float, float, float]
_Rect = tuple[float, float, float, float]


@unique
class ColorMode(IntEnum):
    """What colours mean; instances take their class's colour wherever the metadata has one."""

    IMAGE = 0
    SEGMENTATION = 1
    IMAGE_BW = 2  # as SEGMENTATION, over a grey image


class VisImage:
    """A drawing in progress.

    Args:
        img: uint8 RGB (H, W, 3).
        scale: size of the drawing relative to the image.
    """

    def __init__(self, img: np.ndarray, scale: float = 1.0) -> None:
        self.scale = scale
        self.canvas = np.ascontiguousarray(img[:, :, :3])
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
        metadata: Metadata | None = None,
        scale: float = 1.0,
        instance_mode: ColorMode = ColorMode.IMAGE,
        font_size_scale: float = 1.0,
    ) -> None:
        self.img = np.asarray(img_rgb).clip(0, 255).astype(np.uint8)
        self.metadata = Metadata() if metadata is None else metadata
        self._instance_mode = instance_mode
        self.output = VisImage(self.img, scale)
        size = np.sqrt(self.output.height * self.output.width) / 45 * font_size_scale
        self._font = ImageFont.load_default(size=float(np.clip(size, 9, 40)))
        self._labels: list[_Rect] = []

    def get_output(self) -> VisImage:
        """Return the drawing."""
        return self.output

    def draw_instance_predictions(self, predictions: Instances, jittering: bool = True) -> VisImage:
        """Draw what a model found.

        Args:
            predictions: with ``pred_classes``, ``scores``, and ``pred_masks`` (N, H, W) or
                ``pred_boxes``; boxes are drawn only where there are no masks.
            jittering: accepted for compatibility; colours are exact.
        """
        count = len(predictions)
        classes = _field(predictions, "pred_classes", None)
        scores = _field(predictions, "scores", None)
        masks = predictions.pred_masks if predictions.has("pred_masks") else None
        boxes = predictions.pred_boxes if predictions.has("pred_boxes") else None
        if self._instance_mode == ColorMode.IMAGE_BW:
            self._make_grey(masks)
        return self.overlay_instances(
            masks=masks,
            boxes=None if masks is not None else boxes,
            labels=self._names(classes, scores),
            assigned_colors=self._colors(classes, count),
        )

    def draw_dataset_dict(self, dic: dict[str, Any]) -> VisImage:
        """Draw the annotations of a record."""
        annotations = dic.get("annotations") or []
        shown = annotations_to_instances(annotations, self.img.shape[:2], "bitmask")
        has_masks = shown.has("gt_masks")
        classes = shown.gt_classes.tolist()
        return self.overlay_instances(
            masks=shown.gt_masks if has_masks else None,
            boxes=None if has_masks else shown.gt_boxes,
            labels=self._names(classes, None),
            assigned_colors=self._colors(classes, len(shown)),
        )

    def overlay_instances(
        self,
        *,
        boxes: Boxes | torch.Tensor | np.ndarray | None = None,
        labels: Sequence[str] | None = None,
        masks: BitMasks | PolygonMasks | torch.Tensor | np.ndarray | None = None,
        assigned_colors: Sequence[_Color] | None = None,
        alpha: float = 0.5,
    ) -> VisImage:
        """Draw instances, large ones first so that small ones stay visible.

        Args:
            boxes: (N, 4) XYXY in pixels of the image.
            labels: N texts.
            masks: (N, H, W).
            assigned_colors: N colours (r, g, b) in [0, 1].
            alpha: opacity of masks.
        """
        areas = _areas(masks, boxes, self.img.shape[:2])
        colors = assigned_colors or _palette(len(areas))
        order = np.argsort(-areas, kind="stable")
        bitmaps = None if masks is None else _bitmaps(masks, self.img.shape[:2])
        corners = None if boxes is None else _array(getattr(boxes, "tensor", boxes))
        for i in order:
            if bitmaps is not None:
                self.draw_binary_mask(bitmaps[i], colors[i], alpha=alpha)
            if corners is not None:
                self.draw_box(corners[i], edge_color=colors[i])
        # Names last, over all masks; the smallest part chooses its place first.
        for i in order[::-1] if labels is not None else ():
            box = corners[i] if bitmaps is None else _anchor(bitmaps[i])
            if box is not None:
                self._draw_label(labels[i], box, colors[i])
        return self.output

    def draw_binary_mask(
        self,
        binary_mask: np.ndarray,
        color: _Color,
        *,
        alpha: float = 0.5,
    ) -> VisImage:
        """Fill a mask (H, W) with a colour and draw its edge."""
        out = self.output
        size = (out.width, out.height)
        mask = cv2.resize(binary_mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        selected = mask.astype(bool)
        rgb = np.array(color) * 255
        out.canvas[selected] = (1 - alpha) * out.canvas[selected] + alpha * rgb
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out.canvas, contours, -1, _towards_white(color), self._line_width())
        return out

    def draw_box(self, box_coord: Sequence[float], edge_color: _Color) -> VisImage:
        """Draw a box XYXY in pixels of the image."""
        x0, y0, x1, y1 = (round(float(v) * self.output.scale) for v in box_coord)
        rgb = tuple(round(c * 255) for c in edge_color)
        cv2.rectangle(self.output.canvas, (x0, y0), (x1, y1), rgb, self._line_width())
        return self.output

    def draw_text(self, text: str, position: tuple[float, float], *, color: _Color) -> VisImage:
        """Write a text with its middle at x, y in pixels of the image."""
        x, y = (v * self.output.scale for v in position)
        width, height = self._text_size(text)
        self._write(text, (x - width / 2, y - height / 2, x + width / 2, y + height / 2), color)
        return self.output

    def _draw_label(self, text: str, box: Sequence[float], color: _Color) -> None:
        """Put a name on its part, or beside it when the part is small or the place is taken."""
        x0, y0, x1, y1 = (v * self.output.scale for v in box)
        width, height = self._text_size(text)
        centre_x, centre_y = (x0 + x1) / 2, (y0 + y1) / 2
        small = x1 - x0 < width or y1 - y0 < 1.5 * height
        first = y0 - 0.7 * height if small else centre_y
        for step in itertools.chain.from_iterable((s, -s) for s in range(12)):
            middle = first - step * 1.1 * height
            left = np.clip(centre_x - width / 2, 0, max(self.output.width - width, 0))
            top = np.clip(middle - height / 2, 0, max(self.output.height - height, 0))
            place = (left, top, left + width, top + height)
            if not any(_overlap(place, taken) for taken in self._labels):
                break
        self._labels.append(place)
        label_y = (place[1] + place[3]) / 2
        if not y0 <= label_y <= y1:
            end = round(place[3] if label_y < centre_y else place[1])
            points = (round(centre_x), round(centre_y)), (round(centre_x), end)
            cv2.line(self.output.canvas, *points, _towards_white(color), 1, cv2.LINE_AA)
        self._write(text, place, color)

    def _write(self, text: str, place: _Rect, color: _Color) -> None:
        """Write light text of a hue on a dark plate."""
        x0, y0 = max(int(place[0]), 0), max(int(place[1]), 0)
        x1, y1 = int(np.ceil(place[2])), int(np.ceil(place[3]))
        plate = self.output.canvas[y0:y1, x0:x1]
        if plate.size == 0:
            return
        plate[:] = plate * 0.25
        image = Image.fromarray(plate)
        middle = (place[0] + place[2]) / 2 - x0, (place[1] + place[3]) / 2 - y0
        ImageDraw.Draw(image).text(
            middle, text, font=self._font, fill=_towards_white(color), anchor="mm"
        )
        plate[:] = np.asarray(image)

    def _text_size(self, text: str) -> tuple[float, float]:
        ascent, descent = self._font.getmetrics()
        return self._font.getlength(text) + 4, ascent + descent

    def _line_width(self) -> int:
        return max(1, round(min(self.output.height, self.output.width) / 500))

    def _names(self, classes: list[int] | None, scores: list[float] | None) -> list[str] | None:
        """Return ``name 95%`` for each instance, from what is known."""
        if classes is None:
            return None if scores is None else [f"{score:.0%}" for score in scores]
        known = self.metadata.get("thing_classes")
        names = [str(c) if known is None else known[c] for c in classes]
        if scores is None:
            return names
        return [f"{name} {score:.0%}" for name, score in zip(names, scores, strict=True)]

    def _colors(self, classes: list[int] | None, count: int) -> list[_Color]:
        known = self.metadata.get("thing_colors")
        if known is None or classes is None:
            return _palette(count)
        return [tuple(channel / 255 for channel in known[c]) for c in classes]

    def _make_grey(self, masks: torch.Tensor | np.ndarray | None) -> None:
        """Take the colour out of everything that no mask covers."""
        out = self.output
        grey = cv2.cvtColor(out.canvas, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2)
        if masks is not None and len(masks):
            union = _bitmaps(masks, self.img.shape[:2]).any(axis=0).astype(np.uint8)
            size = (out.width, out.height)
            covered = cv2.resize(union, size, interpolation=cv2.INTER_NEAREST).astype(bool)
            grey[covered] = out.canvas[covered]
        out.canvas[:] = grey


def _field(instances: Instances, name: str, default: Any) -> Any:
    return instances.get(name).tolist() if instances.has(name) else default


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


def _bitmaps(masks: Any, size: tuple[int, int]) -> np.ndarray:
    """Return masks of any kind as bool (N, H, W)."""
    if hasattr(masks, "polygons"):
        masks = BitMasks.from_polygon_masks(masks, *size)
    return _array(getattr(masks, "tensor", masks)).astype(bool).reshape(-1, *size)


def _areas(masks: Any, boxes: Any, size: tuple[int, int]) -> np.ndarray:
    if masks is not None:
        return _bitmaps(masks, size).sum(axis=(1, 2)).astype(np.float64)
    if boxes is None:
        return np.zeros(0)
    corners = _array(getattr(boxes, "tensor", boxes)).reshape(-1, 4)
    return np.prod(corners[:, 2:] - corners[:, :2], axis=1)


def _anchor(mask: np.ndarray) -> np.ndarray | None:
    """Return the box XYXY of the largest connected piece of a mask; None if it is empty."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if len(stats) < 2:
        return None
    x, y, width, height, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()]
    return np.array([x, y, x + width, y + height], dtype=np.float64)


def _palette(count: int) -> list[_Color]:
    """Return colours whose hues lie as far apart as a fixed sequence allows (golden ratio)."""
    return [colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.75, 0.95) for i in range(count)]


def _towards_white(color: Iterable[float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * (0.4 * channel + 0.6)) for channel in color)
    return red, green, blue


def _overlap(a: _Rect, b: _Rect) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
