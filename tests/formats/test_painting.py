"""Overlapping masks become what is visible of each."""

import numpy as np

from sav.formats.painting import topmost


def test_smaller_masks_lie_on_top_and_bodies_at_the_bottom():
    masks = np.zeros((4, 6, 8), np.uint8)
    masks[0, :, :] = 1  # all of it
    masks[1, 1:3, 1:3] = 1  # a small body
    masks[2, 1:5, 1:7] = 1  # a large part over the small body
    masks[3, 2:4, 2:4] = 1  # of the size of the small body, and later
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
