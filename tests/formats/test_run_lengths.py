import numpy as np
import pytest

from sav.errors import SAVError
from sav.formats.masks import encode_mask, run_length_code, sound_codes
from sav.formats.run_lengths import run_lengths, split_run_lengths


def random_codes(count):
    rng = np.random.default_rng(count)
    masks = [rng.random(rng.integers(1, 90, 2)) < rng.random() for _ in range(count)]
    masks += [np.zeros((3, 5), bool), np.ones((3, 5), bool), np.ones((1, 1), bool)]
    return [encode_mask(masks[i]) for i in rng.permutation(len(masks))], masks


@pytest.mark.parametrize("count", [0, 1, 2, 17])
def test_several_codes_at_once_are_each_alone(count):
    codes, masks = random_codes(count)
    together = split_run_lengths([code["counts"] for code in codes])
    for lengths, code in zip(together, codes, strict=True):
        assert lengths.tolist() == run_lengths(code["counts"]).tolist()
        assert lengths.sum() == np.prod(code["size"])
    assert sum(lengths[1::2].sum() for lengths in together) == sum(mask.sum() for mask in masks)
    assert split_run_lengths([]) == []


def test_sound_codes_are_those_that_need_no_change():
    codes, _ = random_codes(9)
    sizes = [tuple(code["size"]) for code in codes]
    assert sound_codes(codes, sizes)
    assert sound_codes([], [])
    for code, size in zip(codes, sizes, strict=True):
        assert run_length_code(code, *size) == code


GOOD = encode_mask(np.arange(48).reshape(6, 8) % 5 == 0)


@pytest.mark.parametrize(
    "other",
    [
        None,
        [[0, 0, 5, 0, 5, 5]],
        {"size": [6, 8]},
        {**GOOD, "size": [8, 6]},
        {**GOOD, "size": [6.0, 8.0]},
        {**GOOD, "counts": [48]},
        {**GOOD, "counts": ""},
        {**GOOD, "counts": GOOD["counts"][:-1]},
        {**GOOD, "counts": GOOD["counts"] + "1"},
        {**GOOD, "counts": GOOD["counts"] + "P"},
        {**GOOD, "counts": GOOD["counts"] + "\n"},
        {**GOOD, "counts": "\ud800"},
        {**GOOD, "counts": "PPPPPPP1"},
        {**GOOD, "counts": "d00l0"},  # 20, 0, 28: pycocotools stops at a run of no pixel
        {**GOOD, "counts": "Oa1"},  # -1 and 49
    ],
)
def test_one_code_that_is_not_sound_is_found_among_others(other):
    size = (6, 8)
    for place in range(3):
        codes = [GOOD, GOOD]
        codes.insert(place, other)
        assert not sound_codes(codes, 3 * [size])


def test_what_ends_in_the_middle_of_a_number_does_not_run_into_the_next_code():
    with pytest.raises(SAVError, match="not one of COCO"):
        split_run_lengths([GOOD["counts"] + "P", GOOD["counts"]])
