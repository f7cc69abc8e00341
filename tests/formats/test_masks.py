"""Masks become polygons, which become masks again."""

import hashlib
import json
from collections import Counter

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.formats.masks import clip_polygon, mask_to_polygons

RENDERER = {"tolerance": 0.375, "min_hole": 3, "keep_flat": False}


def draw(polygons, height, width):
    """As converters draw them."""
    flat = [np.asarray(polygon).ravel().tolist() for polygon in polygons]
    codes = coco_mask.frPyObjects(flat, height, width)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)


def blobs():
    """Forty masks of blobs with holes, the half of them strewn with specks and pinholes."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:96, :128]
    for i in range(40):
        mask = np.zeros(rows.shape, bool)
        for value in (True, True, True, False, False):
            y, x = rng.integers((0, 0), (96, 128)).tolist()
            a, b = rng.integers(4, 40 if value else 16, 2).tolist()
            mask[((rows - y) * b) ** 2 + ((columns - x) * a) ** 2 < (a * b) ** 2] = value
        if i % 2:
            mask ^= rng.integers(0, 60, mask.shape) == 0
        yield mask


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "785deae109630c978e1ca9cede2253dba1ada5fc921e288e1b95813efc86b075"),
        (RENDERER, "f08e8448a70f5fe111aabf44bf501567841ee7deefad5642411fffee34c5b31e"),
    ],
    ids=["drafts", "renderer"],
)
def test_polygons_stay_the_same_to_the_byte(options, expected):
    polygons = [[p.tolist() for p in mask_to_polygons(mask, **options)] for mask in blobs()]
    assert hashlib.sha256(json.dumps(polygons).encode()).hexdigest() == expected


def test_polygons_follow_any_mask_closely():
    rows, columns = np.mgrid[:200, :200]
    disc = (rows - 100) ** 2 + (columns - 80) ** 2 < 60**2
    speck = np.zeros_like(disc)
    speck[3, 190] = True
    polygons = mask_to_polygons(disc | speck)
    assert len(polygons) == 2
    drawn = draw(polygons, 200, 200)
    assert drawn[3, 190]
    assert (drawn & disc).sum() / (drawn | disc).sum() > 0.98
    assert len(mask_to_polygons(disc | speck, **RENDERER)) == 1
    assert mask_to_polygons(np.zeros((4, 4), bool)) == []


def test_holes_are_filled_or_left_open():
    mask = np.zeros((40, 50), bool)
    mask[5:35, 5:45] = True
    whole = mask.copy()
    mask[15:25, 20:30] = False
    (filled,) = mask_to_polygons(mask)
    np.testing.assert_array_equal(draw([filled], 40, 50), whole)
    cut = mask_to_polygons(mask, min_hole=3, origin=(100, 20))
    assert len(cut) == 2
    np.testing.assert_array_equal(draw([p - (100, 20) for p in cut], 40, 50), mask)
    assert len(mask_to_polygons(mask, min_hole=101)) == 1


def test_corners_outside_are_moved_to_the_edge():
    notes = Counter()
    assert clip_polygon([-1, 2, 9, 2, 3, 8.5], 8, 6, notes) == [0, 2, 8, 2, 3, 6]
    assert clip_polygon([0, 0, 8, 0, 8, 6], 8, 6, notes) == [0, 0, 8, 0, 8, 6]
    assert notes == {"polygons clipped to the image": 1}
