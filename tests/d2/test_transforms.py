import numpy as np
import pytest
from fvcore.transforms.transform import HFlipTransform

from sav.d2 import transforms as T


class Shift(T.Transform):
    """Rolls the columns to the right."""

    def __init__(self, columns):
        super().__init__()
        self.columns = columns

    def apply_image(self, img):
        return np.roll(img, self.columns, axis=1)

    def apply_coords(self, coords):
        return coords + np.array([self.columns, 0])


class RandomShift(T.Augmentation):
    """Shifts by up to the width."""

    def get_transform(self, image):
        return Shift(np.random.randint(1, image.shape[1]))


class Flip(T.Augmentation):
    def get_transform(self, image):
        return HFlipTransform(image.shape[1])


def picture():
    return np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)


def test_an_augmentation_changes_its_input_and_tells_how():
    inputs = T.AugInput(picture())
    np.random.seed(3)
    transform = RandomShift()(inputs)
    assert isinstance(transform, T.Transform)
    assert (inputs.image == np.roll(picture(), transform.columns, axis=1)).all()
    assert (transform.apply_segmentation(picture()) == inputs.image).all()


def test_a_list_applies_one_after_another():
    np.random.seed(3)
    inputs = T.AugInput(picture())
    applied = T.AugmentationList([RandomShift(), Flip()])(inputs)
    assert isinstance(applied, T.TransformList)
    shift, flip = applied.transforms
    assert (inputs.image == np.roll(picture(), shift.columns, axis=1)[:, ::-1]).all()
    assert (applied.apply_image(picture()) == inputs.image).all()
    moved = applied.apply_coords(np.array([[1.0, 2.0]]))
    assert moved.tolist() == flip.apply_coords(np.array([[1.0 + shift.columns, 2.0]])).tolist()


def test_labels_move_with_the_picture_and_an_augmentation_may_look_at_them():
    class ShiftByLabel(T.Augmentation):
        def get_transform(self, image, sem_seg):
            return Shift(int(sem_seg.max()))

    labels = np.zeros((8, 12), np.uint8)
    labels[2, 3] = 4
    inputs = T.AugInput(picture(), sem_seg=labels)
    T.AugmentationList([Flip(), ShiftByLabel()])(inputs)
    assert (inputs.image == np.roll(picture()[:, ::-1], 4, axis=1)).all()
    assert np.argwhere(inputs.sem_seg == 4).tolist() == [[2, 0]]


def test_an_augmentation_must_say_what_it_does():
    with pytest.raises(NotImplementedError):
        T.Augmentation().get_transform(picture())


def test_doing_nothing_is_a_transform_too():
    nothing = T.NoOpTransform()
    assert isinstance(nothing, T.Transform)
    assert (nothing.apply_image(picture()) == picture()).all()
    assert nothing.apply_coords(np.array([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]
