"""Overlapping parts become what is visible of each."""

from collections import Counter

import numpy as np
import pytest

from sav.formats.masks import decode_codes, encode_mask, visible_codes
from sav.formats.painting import paint, topmost
from sav.formats.records import PartInstance


def overlapping():
    masks = np.zeros((4, 6, 8), np.uint8)
    masks[0, :, :] = 1  # all of it
    masks[1, 1:3, 1:3] = 1  # a small body
    masks[2, 1:5, 1:7] = 1  # a large part over the small body
    masks[3, 2:4, 2:4] = 1  # of the size of the small body, and later
    return masks


@pytest.mark.parametrize(
    ("bodies", "drawn"),
    [
        ((), ["00000000", "01122220", "01332220", "02332220", "02222220", "00000000"]),
        (("0", "1"), ["00000000", "02222220", "02332220", "02332220", "02222220", "00000000"]),
    ],
)
def test_smaller_parts_lie_on_top_and_bodies_at_the_bottom(bodies, drawn):
    parts = [PartInstance.of_mask(str(i), mask, 0) for i, mask in enumerate(overlapping())]
    canvas = np.full((6, 8), " ")
    for part in paint(parts, bodies, "rest", Counter()):
        assert (canvas[part.mask] == " ").all()
        canvas[part.mask] = part.label
    # A piece of three pixels is too small to be kept.
    assert ["".join(row) for row in canvas] == [row.replace("1", " ") for row in drawn]
    notes = Counter()
    painted = paint(parts, bodies, "whole", notes)
    assert notes.total() == len(parts) - len(painted)
    whole = [part.label for part in painted if part.area == parts[0].area]
    assert whole == (["0"] if bodies else [])
    assert paint([], bodies, "rest", Counter()) == []


@pytest.mark.parametrize("seed", range(20))
def test_what_is_visible_of_codes_is_what_is_visible_of_masks(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((6, 7, 9)) < rng.choice([0.0, 0.2, 0.5, 1.0], 6)[:, None, None]
    canvas = np.full((7, 9), -1)
    for i, mask in enumerate(masks):
        canvas[mask] = i
    found = decode_codes(visible_codes([encode_mask(mask) for mask in masks]), 7, 9)
    np.testing.assert_array_equal(found, [canvas == i for i in range(6)])


def test_the_topmost_of_masks():
    masks = overlapping()
    np.testing.assert_array_equal(
        topmost(masks, (6, 8)),
        [
            [0, 0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 2, 2, 2, 2, 0],
            [0, 1, 3, 3, 2, 2, 2, 0],
            [0, 2, 3, 3, 2, 2, 2, 0],
            [0, 2, 2, 2, 2, 2, 2, 0],
            [0, 0, 0, 0, 0, 0, 0, 0],
        ],
    )
    with_bodies = topmost(masks, (6, 8), [True, True, False, False])
    assert not (with_bodies == 1).any()
    assert (topmost(masks[:0], (6, 8)) == -1).all()
