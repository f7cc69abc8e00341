"""Masks become polygons, which become masks again."""

import hashlib
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.errors import SAVError
from sav.formats.masks import clip_polygon, encode_mask, run_length_code
from sav.formats.outlines import mask_to_polygons

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


def test_edges_that_leave_the_image_are_cut_where_they_cross_its_border():
    inside = np.array([[0, 0], [8, 0], [8, 6]], dtype=float)
    np.testing.assert_array_equal(clip_polygon(inside, 8, 6), inside)
    outside = np.array([[-5, 1], [-2, 1], [-2, 4]], dtype=float)
    assert len(clip_polygon(outside, 8, 6)) == 0
    diamond = np.array([[4, -8], [16, 3], [4, 14], [-8, 3]], dtype=float)
    corners = {tuple(point) for point in clip_polygon(diamond, 8, 6)}
    assert corners == {(0, 0), (8, 0), (8, 6), (0, 6)}


@pytest.mark.parametrize("seed", range(20))
def test_clipped_polygons_cover_what_the_whole_ones_cover_of_the_image(seed):
    rng = np.random.default_rng(seed)
    height, width, margin = 60, 80, 300
    polygon = rng.uniform((-200, -200), (280, 260), (int(rng.integers(3, 9)), 2))
    code = run_length_code([polygon.ravel().tolist()], height, width)
    # Truth: drawn on a canvas that holds all of it.
    (whole,) = draw([polygon + margin], height + 2 * margin, width + 2 * margin)[None]
    cut = whole[margin : margin + height, margin : margin + width]
    mask = coco_mask.decode(code).astype(bool)
    assert np.count_nonzero(mask ^ cut) <= 0.01 * mask.size


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        (None, "neither"),
        ([], "neither"),
        ("5,5,9,9", "neither"),
        ([[1, 2, 3, 4]], "fewer than 3"),
        ([[1, 2, 3, 4, 5, 6, 7]], "odd number"),
        ([[1, 2, 3, float("nan"), 5, 6]], "not a number"),
        ([[1, 2, 3, float("inf"), 5, 6]], "not a number"),
        ([[1, 2, 3, 10**400, 5, 6]], "far from any photo"),
        ([[1, 2, 3, True, 5, 6]], "not a number"),
        ([["1", "2", "3", "4", "5", "6"]], "not a number"),
        ([{"x": 1}], "not a number"),
        ({"counts": [48]}, "neither"),
        ({"size": None, "counts": [48]}, "size"),
        ({"size": [8, 6], "counts": [48]}, "6x8"),
        ({"size": [6, 8], "counts": None}, "neither a text nor"),
        ({"size": [6, 8], "counts": [1.5, 46.5]}, "neither a text nor"),
        ({"size": [6, 8], "counts": [47]}, "add up"),
        ({"size": [6, 8], "counts": [-1, 49]}, "add up"),
        ({"size": [6, 8], "counts": [2**70]}, "add up"),
        ({"size": [6, 8], "counts": ""}, "not one of COCO"),
        ({"size": [6, 8], "counts": "garbage!"}, "not one of COCO"),
        ({"size": [6, 8], "counts": "PPPP"}, "not one of COCO"),
        ({"size": [6, 8], "counts": "00000"}, "add up"),
        ({"size": [6, 8], "counts": "\u00e9"}, "not one of COCO"),
        ({"size": [6, 8], "counts": "\ud800"}, "not one of COCO"),
        (np.ones((8, 6), bool), "6x8"),
    ],
)
def test_no_segmentation_reaches_native_code_unchecked(segmentation, reason):
    with pytest.raises(SAVError, match=reason):
        run_length_code(segmentation, 6, 8)


def test_compressed_codes_are_checked_number_by_number():
    for mask in blobs():
        code = encode_mask(mask)
        assert run_length_code(code, *mask.shape) == code
        with pytest.raises(SAVError, match="run-length code"):
            run_length_code({**code, "counts": code["counts"][:-1]}, *mask.shape)


def test_holes_are_taken_away():
    code = run_length_code([[1, 1, 9, 1, 9, 9, 1, 9]], 10, 10, holes=[[3, 3, 5, 3, 5, 5, 3, 5]])
    assert coco_mask.area(code) == 64 - 4


@pytest.mark.parametrize("segmentation", [[[0, 0, 9, 0, 9, 9]], {"counts": [10**10]}])
def test_no_mask_is_drawn_of_an_image_that_nobody_can_open(segmentation):
    if isinstance(segmentation, dict):
        segmentation = {"size": [10**5, 10**5], **segmentation}
    with pytest.raises(SAVError, match="larger than any photo that is read"):
        run_length_code(segmentation, 10**5, 10**5)
