import numpy as np
import pytest
from pycocotools import mask as coco_mask

from sav.formats.crops import decode_crop, outlines, paint_labels
from sav.formats.masks import encode_mask
from sav.formats.run_lengths import run_lengths


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
def test_a_crop_is_the_mask_within_its_box(share):
    rng = np.random.default_rng(0)
    for _ in range(40):
        mask = rng.random(rng.integers(1, 70, 2)) < share
        code = encode_mask(mask)
        crop = decode_crop(code)
        again = np.zeros_like(mask)
        again[crop.window()] = crop.mask
        assert np.array_equal(again, mask)
        assert crop.mask.size == np.prod(coco_mask.toBbox(code)[2:])
        assert not crop.padded[-1].any()
        assert not crop.padded[:, -1].any()


def test_masks_from_edge_to_edge_and_without_a_pixel_are_drawn_beside_others():
    masks = np.zeros((5, 9, 7), dtype=bool)
    masks[1, :, 2:] = True
    masks[2, 4:, 1] = masks[2, :, 2] = masks[2, :3, 3] = True  # one run through three columns
    masks[4, 8, 6] = True
    crops = [outline.draw() for outline in outlines([encode_mask(mask) for mask in masks])]
    for crop, mask in zip(crops, masks, strict=True):
        again = np.zeros_like(mask)
        again[crop.window()] = crop.mask
        assert np.array_equal(again, mask)
    assert outlines([]) == []


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.98, 1])
def test_codes_are_those_of_pycocotools_whatever_way_a_mask_is_stored(share):
    rng = np.random.default_rng(1)
    for number in range(40):
        mask = rng.random(rng.integers(1, 70, 2)) < share
        mask[:, rng.integers(mask.shape[1]) :] |= number % 2 > 0
        code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        for stored in (mask, np.asfortranarray(mask), mask.astype(np.uint8), mask[::-1][::-1]):
            assert encode_mask(stored)["counts"] == code["counts"].decode()
            assert encode_mask(stored)["size"] == code["size"]


def test_long_runs_and_codes_in_bytes():
    mask = np.zeros((3000, 4000), dtype=bool)
    mask[1:2999, 100:3900] = True
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert decode_crop(code).mask.all()
    assert decode_crop(code)[:2] == (1, 100)
    assert run_lengths(code["counts"]).tolist() == coco_runs(mask)


def coco_runs(mask):
    pixels = mask.T.ravel()
    ends = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    return np.diff([0, *ends, mask.size]).tolist()


def test_later_masks_lie_over_earlier_ones():
    wide, narrow = np.zeros((2, 5, 7), dtype=bool)
    wide[1:4, 1:6] = True
    narrow[2, 5:] = True
    painted = paint_labels([encode_mask(wide), encode_mask(narrow)], [3, 9], 5, 7)
    assert painted.tolist() == np.where(narrow, 9, np.where(wide, 3, 0)).tolist()
