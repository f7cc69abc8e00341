"""Geometry is exact where it can be, and colour is reproducible."""

import math

import numpy as np
import pytest
from fvcore.transforms.transform import HFlipTransform, NoOpTransform, VFlipTransform

from sav.d2 import transforms as T
from sav.data.augmentation import (
    AffineTransform,
    RandomAffine,
    RandomColor,
    _rotate_hue,
    is_mirrored,
)
from sav.data.letterbox import Letterbox

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 255, (24, 32, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 255, (24, 32), dtype=np.uint8)
GREY = (10.0, 20.0, 30.0)


def still(**options):
    """A RandomAffine without randomness, but for the options."""
    settings = {
        "size": 32,
        "scale": (1.0, 1.0),
        "aspect": (1.0, 1.0),
        "rotation": 0.0,
        "shift": 0.0,
        "flip_prob": 0.0,
        "border": GREY,
    }
    return RandomAffine(**{**settings, **options})


def test_identity_and_flip_move_whole_pixels():
    identity = AffineTransform(np.eye(2, 3), (24, 32), GREY)
    np.testing.assert_array_equal(identity.apply_image(PHOTO), PHOTO)
    flip = AffineTransform(np.array([[-1, 0, 32], [0, 1, 0]]), (24, 32), GREY)
    np.testing.assert_array_equal(flip.apply_image(PHOTO), PHOTO[:, ::-1])
    for labels in (LABELS, np.asfortranarray(LABELS)):
        np.testing.assert_array_equal(flip.apply_segmentation(labels), LABELS[:, ::-1])
    reference = HFlipTransform(32)
    points = RNG.uniform(0, 24, (5, 2))
    np.testing.assert_allclose(flip.apply_coords(points), reference.apply_coords(points.copy()))


AWKWARD = [(37, 101), (101, 37), (53, 31), (29, 30), (300, 211), (613, 407)]
"""Heights and widths of photos that are reduced by 0.47 to 9.6 to get onto the canvas of 64."""


def check_every_pixel(transform, size):
    """A photo and labels whose values are their own places come out where the map says.

    Returns:
        how many pixels of the canvas were checked.
    """
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    # Ramps over the range of uint8, which linear interpolation and averages leave as they are.
    ramps = np.stack([x * 250 / width, y * 250 / height, 0 * x], axis=-1)
    photo = transform.apply_image(np.round(ramps).astype(np.uint8)).astype(float)
    rows, columns = np.mgrid[: transform.size[0], : transform.size[1]] + 0.5
    there = np.stack([columns, rows], axis=-1) - transform.matrix[:, 2]
    there = there @ np.linalg.inv(transform.matrix[:, :2]).T
    # Nearer to the edge, the border or a repeated edge is mixed in.
    margin = 1 + 1 / math.sqrt(abs(np.linalg.det(transform.matrix[:, :2])))
    inside = ((there > margin) & (there < np.array([width, height]) - margin)).all(axis=-1)
    expected = there * 250 / (width, height)
    errors = photo[inside][:, :2] - expected[inside]
    # Values are rounded three times, and places to a thirty-second of a pixel.
    assert np.abs(errors).max() < 1.5 + 250 / 32 / min(size)
    assert np.abs(errors.mean(axis=0)).max() < 0.25
    for axis, places in enumerate((x, y)):
        labels = transform.apply_segmentation(places.astype(np.uint16))
        # Nearest neighbour, of coordinates that OpenCV rounds to fractions of a pixel.
        np.testing.assert_allclose(labels[inside] + 0.5, there[inside][:, axis], atol=0.56)
    return inside.sum()


@pytest.mark.parametrize("size", AWKWARD)
def test_random_affine_puts_every_pixel_in_its_place(size):
    np.random.seed(0)
    augmentation = still(
        size=64, scale=(0.7, 1.5), aspect=(0.8, 1.2), rotation=20.0, shift=0.1, flip_prob=0.5
    )
    checked = [
        check_every_pixel(augmentation.get_transform(np.zeros((*size, 3), np.uint8)), size)
        for _ in range(10)
    ]
    assert min(checked) > 100


@pytest.mark.parametrize("size", AWKWARD)
def test_random_affine_is_its_steps_one_by_one(size):
    """Flip, stretch, scale and turn about the photo's middle, which is then put on the canvas."""
    height, width = size
    np.random.seed(0)
    options = {"scale": (1.3, 1.3), "aspect": (1.2, 1.2), "rotation": 20.0, "flip_prob": 1.0}
    transform = still(size=50, **options).get_transform(np.zeros((*size, 3), np.uint8))
    points = RNG.uniform(0, 1, (7, 2)) * (width, height)
    middle = transform.apply_coords(np.array([[width / 2, height / 2]]))[0]
    corner = np.array([width, height]) * 25 / max(size)
    assert (corner - 1e-9 <= middle).all()
    assert (middle <= 25 + 1e-9).all()
    scale = 1.3 * 50 / max(size)
    x = -(points[:, 0] - width / 2) * scale * math.sqrt(1.2)
    y = (points[:, 1] - height / 2) * scale / math.sqrt(1.2)
    moved = transform.apply_coords(points) - middle
    turned = np.angle((moved[:, 0] + 1j * moved[:, 1]) / (x + 1j * y))
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.hypot(x, y))
    np.testing.assert_allclose(turned, turned[0], atol=1e-9)
    assert 0 < abs(turned[0]) <= math.radians(20)


def test_canvas_is_filled_with_the_border():
    shifted = AffineTransform(np.array([[1, 0, 4], [0, 1, 2]]), (40, 50), GREY)
    photo, labels = shifted.apply_image(PHOTO), shifted.apply_segmentation(LABELS)
    np.testing.assert_array_equal(photo[2:26, 4:36], PHOTO)
    np.testing.assert_array_equal(labels[2:26, 4:36], LABELS)
    outside = np.ones((40, 50), bool)
    outside[2:26, 4:36] = False
    np.testing.assert_array_equal(np.unique(photo[outside], axis=0), [GREY])
    assert labels[outside].max() == 0


def test_shrinking_averages_as_the_letterbox_does():
    photo = RNG.integers(0, 255, (256, 256, 3), dtype=np.uint8)
    quarter = AffineTransform(np.array([[0.25, 0, 0], [0, 0.25, 0]]), (64, 64), GREY)
    letterbox = Letterbox(64).get_transform(photo)
    np.testing.assert_array_equal(quarter.apply_image(photo), letterbox.apply_image(photo))


def test_image_labels_and_coordinates_move_together():
    labels = np.zeros((200, 300), np.uint8)
    labels[80:120, 140:200] = 255
    corners = np.array([[140, 80], [200, 80], [200, 120], [140, 120]], dtype=float)
    augmentation = still(
        size=128, scale=(0.5, 1.4), aspect=(0.8, 1.2), rotation=15.0, shift=0.05, flip_prob=0.5
    )
    np.random.seed(1)
    flips = set()
    for _ in range(20):
        transform = augmentation.get_transform(np.repeat(labels[..., None], 3, 2))
        moved = transform.apply_segmentation(labels) > 0
        photo = transform.apply_image(np.repeat(labels[..., None], 3, 2))[..., 1] > 127
        rows, columns = np.nonzero(moved)
        centre = transform.apply_coords(corners).mean(axis=0)
        np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), centre, atol=0.6)
        assert (moved ^ photo).sum() < 0.12 * moved.sum() + 8
        area = 60 * 40 * abs(np.linalg.det(transform.matrix[:, :2]))
        assert moved.sum() == pytest.approx(area, rel=0.1)
        flips.add(is_mirrored(transform))
    assert flips == {True, False}


def test_scale_one_covers_test_time_placement():
    """Wide photos lie at the top of the canvas when the model is used; training sees that."""
    wide = np.zeros((16, 32, 3), np.uint8)
    np.random.seed(0)
    tops = [still().get_transform(wide).apply_coords(np.zeros((1, 2)))[0, 1] for _ in range(200)]
    assert min(tops) < 0.5
    assert max(tops) > 7.5
    assert min(tops) >= 0
    assert max(tops) <= 8


def test_ranges_are_kept():
    np.random.seed(0)
    augmentation = still(size=64, scale=(0.5, 2.0), aspect=(0.8, 1.25), rotation=10.0)
    scales, ratios, angles = [], [], []
    for _ in range(300):
        linear = augmentation.get_transform(np.zeros((32, 32, 3), np.uint8)).matrix[:, :2] / 2
        x, y = np.linalg.norm(linear, axis=0)
        scales.append(math.sqrt(x * y))
        ratios.append(x / y)
        angles.append(math.degrees(math.atan2(linear[1, 0], linear[0, 0])))
    for values, low, high in ((scales, 0.5, 2), (ratios, 0.8, 1.25), (angles, -10, 10)):
        margin = 0.05 * (high - low)
        assert low - 1e-9 <= min(values) < low + margin
        assert high - margin < max(values) <= high + 1e-9


@pytest.mark.parametrize(
    ("transform", "mirrored"),
    [
        (HFlipTransform(10), True),
        (VFlipTransform(10), True),
        (T.TransformList([HFlipTransform(10), VFlipTransform(10)]), False),
        (T.TransformList([HFlipTransform(10), HFlipTransform(10)]), False),
        (NoOpTransform(), False),
        (AffineTransform(np.array([[0, -1, 0], [1, 0, 0]]), (9, 9), GREY), False),
    ],
)
def test_mirrors_are_seen_in_any_transform(transform, mirrored):
    assert is_mirrored(transform) is mirrored


def test_colour_is_deterministic_and_leaves_geometry_alone():
    np.random.seed(3)
    transforms = [RandomColor(strength=1.0, grey_prob=0.3).get_transform(PHOTO) for _ in range(40)]
    for transform in transforms:
        first = transform.apply_image(PHOTO)
        assert first.dtype == np.uint8
        assert first.shape == PHOTO.shape
        np.testing.assert_array_equal(first, transform.apply_image(PHOTO))
        np.testing.assert_array_equal(transform.apply_segmentation(LABELS), LABELS)
    assert any(transform.noise for transform in transforms)
    assert any(transform.blur for transform in transforms)


def test_hue_and_saturation_keep_greys():
    """Colour changes turn about the grey axis; only brightness and contrast move a grey photo."""
    grey = np.repeat(PHOTO[..., :1], 3, axis=2)
    for angle in (-1.0, 0.0, 0.5):
        rotation = _rotate_hue(angle)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(grey @ rotation.T, grey, atol=1e-9)
    red_to_green = _rotate_hue(2 * math.pi / 3) @ [1, 0, 0]
    np.testing.assert_allclose(red_to_green, [0, 1, 0], atol=1e-12)


def test_no_strength_changes_nothing_and_grey_is_grey():
    photo = RandomColor(strength=0.0, grey_prob=0.0).get_transform(PHOTO).apply_image(PHOTO)
    np.testing.assert_array_equal(photo, PHOTO)
    grey = RandomColor(strength=0.0, grey_prob=1.0).get_transform(PHOTO).apply_image(PHOTO)
    assert np.ptp(grey, axis=2).max() == 0
    expected = PHOTO @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(grey[..., 0], expected, atol=0.6)
