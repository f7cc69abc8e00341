"""Photos and masks come to the canvas by one geometry, and back by the model's."""

import cv2
import numpy as np
import pytest
import torch

from sav.data.letterbox import Letterbox
from sav.modeling.original_frame import Frame, enlarge

S = 64
AWKWARD = [(298, 400), (400, 299), (251, 333), (613, 407), (37, 101), (400, 41), (29, 30), (7, 19)]
"""Heights and widths; the last two are smaller than the canvas."""
RNG = np.random.default_rng(0)


def letterbox(height, width):
    return Letterbox(S).get_transform(np.zeros((height, width, 3), np.uint8))


def kernel(old, new):
    """(new, old) weights of area averages where it shrinks, else of linear interpolation."""
    if new < old:
        edges = np.clip(np.arange(new + 1)[:, None] * old / new - np.arange(old), 0, 1)
        return np.diff(edges, axis=0) * new / old
    centres = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(old)))


@pytest.mark.parametrize("size", [*AWKWARD, (1, 300), (64, 40), (64, 64)])
def test_the_long_side_is_that_of_the_canvas(size):
    photo = RNG.integers(0, 255, (*size, 3), dtype=np.uint8)
    transform = letterbox(*size)
    assert max(transform.resized) == S
    assert transform.apply_image(photo).shape == (*transform.resized, 3)
    assert transform.apply_segmentation(photo[..., 0]).shape == transform.resized
    exact = np.array(size) * S / max(size)
    assert np.abs(np.array(transform.resized) - exact).max() <= max(0.5, 1 - exact.min())
    corners = transform.apply_coords(np.array([[0.0, 0.0], [size[1], size[0]]]))
    np.testing.assert_allclose(corners, [[0, 0], transform.resized[::-1]])


def test_a_photo_of_the_canvas_size_stays_as_it_is():
    photo = RNG.integers(0, 255, (40, S, 3), dtype=np.uint8)
    np.testing.assert_array_equal(letterbox(40, S).apply_image(photo), photo)
    np.testing.assert_array_equal(letterbox(40, S).apply_segmentation(photo[..., 0]), photo[..., 0])


@pytest.mark.parametrize("size", AWKWARD)
def test_photos_are_averaged_over_the_area_where_they_shrink(size):
    photo = RNG.integers(0, 255, (*size, 3), dtype=np.uint8)
    transform = letterbox(*size)
    rows, columns = (kernel(*sides) for sides in zip(size, transform.resized, strict=True))
    expected = np.einsum("ih,jw,hwc->ijc", rows, columns, photo)
    assert np.abs(transform.apply_image(photo) - expected).max() <= 1


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("size", AWKWARD)
def test_labels_are_those_at_the_middle_of_each_pixel(size, order):
    transform = letterbox(*size)
    places = [
        np.minimum((np.arange(new) + 0.5) * old // new, old - 1).astype(int)
        for old, new in zip(size, transform.resized, strict=True)
    ]
    labels = np.asarray(RNG.integers(0, 255, size, dtype=np.uint8), order=order)
    found = transform.apply_segmentation(labels)
    # Middles that lie on an edge of two pixels may be rounded to either.
    assert (found == labels[np.ix_(*places)]).mean() > 0.95


@pytest.mark.parametrize("size", AWKWARD)
def test_masks_and_photo_agree_to_half_a_pixel(size):
    """The edges of a box are where coordinates say, in its mask and in a photo of it."""
    transform = letterbox(*size)
    for _ in range(10):
        low, high = RNG.uniform(0, 0.2, 2), RNG.uniform(0.8, 1, 2)
        (y0, x0), (y1, x1) = (np.round(share * size).astype(int) for share in (low, high))
        mask = np.zeros(size, np.uint8)
        mask[y0:y1, x0:x1] = 1
        expected = transform.apply_coords(np.array([[x0, y0], [x1, y1]], dtype=float)).T
        moved = transform.apply_segmentation(mask)
        shades = transform.apply_image(255 * np.repeat(mask[..., None], 3, axis=2))[..., 0] / 255
        for axis, edges in enumerate(expected):
            inside = np.flatnonzero(moved.any(axis=axis))
            assert np.abs((inside[0], inside[-1] + 1) - edges).max() <= 0.5 + 1e-6
            # In the photo, the edges are as far from the middle as there is light on either side.
            light = shades.max(axis=axis)
            middle = len(light) // 2
            found = middle - light[:middle].sum(), middle + light[middle:].sum()
            np.testing.assert_allclose(found, edges, atol=0.1)


@pytest.mark.parametrize("size", AWKWARD)
def test_the_models_frame_brings_masks_back(size):
    """From the photo to the canvas and back, a mask moves by less than half a pixel of either."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    ellipse = (round(0.55 * width), round(0.45 * height)), (width // 3, height // 3)
    cv2.ellipse(mask, *ellipse, 0, 0, 360, 1, -1)
    transform = letterbox(*size)
    image = torch.zeros(3, *transform.resized)
    frame = Frame.of({"image": image, "height": height, "width": width}, S)
    assert (frame.original, tuple(frame.resized)) == (transform.original, transform.resized)
    canvas = torch.full((1, S, S), -1.0)
    on_canvas = transform.apply_segmentation(mask)
    canvas[0, : on_canvas.shape[0], : on_canvas.shape[1]] = torch.from_numpy(2.0 * on_canvas - 1)
    back = np.zeros(size, bool)
    (piece,) = enlarge(canvas, 0.0, frame)
    piece.within(back)[:] = piece.values.numpy() > 0
    half = max(0.5, 0.5 * max(size) / S)
    for axis in range(2):
        middles = [np.nonzero(m)[axis].mean() for m in (mask, back)]
        assert abs(middles[0] - middles[1]) < half
    # What differs lies along the outline, on either side of it.
    core = cv2.erode(mask, np.ones((3, 3)), iterations=int(np.ceil(2 * half)))
    around = cv2.dilate(mask, np.ones((3, 3)), iterations=int(np.ceil(2 * half)))
    assert back[core > 0].all()
    assert not back[around == 0].any()
