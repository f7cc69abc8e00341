"""Poor photos stay annotated as they were, except where something covers them."""

import numpy as np
import pytest

from sav.data.degradation import (
    CameraTransform,
    OccluderTransform,
    RandomCamera,
    RandomOccluder,
)

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
LABELS = RNG.integers(1, 200, (40, 60), dtype=np.uint8)


def test_gamma_darkens_and_keeps_black_and_white():
    grey = np.array([0, 64, 128, 255], np.uint8).repeat(3).reshape(1, 4, 3)
    dark, same, bright = (
        CameraTransform(gamma, (0.0, 0.0), 0).apply_image(grey)[0, :, 0].tolist()
        for gamma in (2.0, 1.0, 0.5)
    )
    assert same == [0, 64, 128, 255]
    assert dark == [0, 16, 64, 255]
    assert bright == [0, 128, 181, 255]


def test_a_smear_blurs_along_its_direction_alone():
    upright = np.zeros((41, 41, 3), np.uint8)
    upright[:, 20] = 255
    smeared = CameraTransform(1.0, (8.0, 0.0), 0).apply_image(upright)
    assert np.flatnonzero(smeared[20, :, 0]).tolist() == list(range(16, 25))
    along = CameraTransform(1.0, (0.0, 8.0), 0).apply_image(upright)
    np.testing.assert_array_equal(along, upright)


def test_jpeg_loses_more_at_lower_quality():
    errors = [
        np.abs(CameraTransform(1.0, (0.0, 0.0), quality).apply_image(PHOTO) - PHOTO.astype(int))
        for quality in (95, 25)
    ]
    assert 0 < errors[0].mean() < errors[1].mean()


def test_a_camera_moves_nothing():
    transform = CameraTransform(1.5, (3.0, 1.0), 40)
    assert transform.apply_segmentation(LABELS) is LABELS
    np.testing.assert_array_equal(transform.apply_coords(np.ones((2, 2))), np.ones((2, 2)))


def test_what_an_occluder_covers_is_not_annotated():
    pattern = np.full((2, 2, 3), 9, np.uint8)
    transform = OccluderTransform((10, 5, 30, 25), pattern)
    photo, labels = transform.apply_image(PHOTO), transform.apply_segmentation(LABELS)
    covered = np.zeros((40, 60), bool)
    covered[5:25, 10:30] = True
    assert (photo[covered] == 9).all()
    assert (labels[covered] == 0).all()
    np.testing.assert_array_equal(photo[~covered], PHOTO[~covered])
    np.testing.assert_array_equal(labels[~covered], LABELS[~covered])


@pytest.mark.parametrize("never", [RandomCamera(strength=0.0), RandomOccluder(prob=0.0)])
def test_what_is_switched_off_does_nothing(never):
    for _ in range(20):
        transform = never.get_transform(PHOTO)
        np.testing.assert_array_equal(transform.apply_image(PHOTO), PHOTO)
        np.testing.assert_array_equal(transform.apply_segmentation(LABELS), LABELS)


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (3, 200)])
def test_draws_fit_any_photo_and_repeat_with_the_seed(size):
    photo = RNG.integers(0, 256, (*size, 3), dtype=np.uint8)
    for augmentation in (RandomCamera(strength=1.0), RandomOccluder(prob=1.0)):
        shown = []
        for seed in [*range(30), 0]:
            np.random.seed(seed)
            shown.append(augmentation.get_transform(photo).apply_image(photo))
        assert all(image.shape == photo.shape and image.dtype == np.uint8 for image in shown)
        np.testing.assert_array_equal(shown[0], shown[-1])
        assert any((image != photo).any() for image in shown)
