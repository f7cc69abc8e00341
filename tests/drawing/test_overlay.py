import numpy as np
import pytest

from sav.drawing.overlay import overlay_masks

RED = (255, 0, 0)
TOO_LONG = "wider than any image " * 20


def square(row, column, side=4, size=(300, 400)):
    mask = np.zeros(size, bool)
    mask[row : row + side, column : column + side] = True
    return mask


def draw(masks, names, size=(300, 400)):
    image = np.full((*size, 3), 252, np.uint8)
    drawn = overlay_masks(image, masks, names, [RED] * len(masks))
    assert (image == 252).all()
    assert (drawn.shape, drawn.dtype) == (image.shape, np.uint8)
    return drawn


def plates(drawn):
    """Where the dark plates of names are: a quarter of the image's 252."""
    return (drawn == 63).all(axis=-1)


def is_red(drawn):
    return drawn[..., 0].astype(int) - drawn[..., 2] > 110


def test_names_do_not_cover_one_another():
    one = plates(draw([square(150, 200)], ["Left back door 93%"])).sum()
    crowd = [square(150 + 5 * i, 200 + 5 * i) for i in range(8)]
    many = plates(draw(crowd, ["Left back door 93%"] * 8)).sum()
    # Lines to the parts pass below some plates.
    assert one > 500
    assert 0.9 * 8 * one < many <= 8 * one


def test_names_stay_inside_the_image():
    one = plates(draw([square(150, 200)], ["Left back door 93%"])).sum()
    for row, column in ((0, 0), (0, 396), (296, 0), (296, 396)):
        corner = plates(draw([square(row, column)], ["Left back door 93%"])).sum()
        assert corner > 0.97 * one
    draw([np.ones((1, 2), bool)], ["Left back door 93%"], size=(1, 2))
    narrow = draw([square(2, 2, size=(300, 12))], ["Left back door 93%"], size=(300, 12))
    assert not plates(narrow).any()
    assert is_red(narrow).any()


@pytest.mark.parametrize("size", [(200, 200), (300, 400), (3000, 4000)])
def test_names_do_not_hide_parts_of_a_few_pixels(size):
    middle = size[0] // 2, size[1] // 2
    handles = [square(middle[0], middle[1] + 8 * i, 4, size) for i in range(3)]
    drawn = draw([np.ones(size, bool), *handles], ["Body", *["Handle"] * 3], size)
    for handle in handles:
        assert is_red(drawn)[handle].mean() > 0.6


def test_outlines_leave_parts_of_a_few_pixels_their_colour():
    drawn = draw([square(150, 200, side=2)], [TOO_LONG])
    red = is_red(drawn)
    assert red[150:152, 200:202].all()
    assert red.sum() == 4
    assert (drawn[149, 200:202] < 252).any()


def test_a_part_smaller_than_a_pixel_of_the_drawing_is_still_seen():
    assert is_red(draw([square(150, 200, side=2)], [TOO_LONG], size=(30, 40))).any()
    assert (draw([np.zeros((300, 400), bool)], ["none"], size=(30, 40)) == 252).all()


def test_small_parts_lie_over_large_ones_in_any_order():
    masks, colors = [square(150, 200, 20), square(100, 150, 120)], [RED, (0, 0, 255)]
    image = np.full((300, 400, 3), 252, np.uint8)
    drawn = overlay_masks(image, masks, [TOO_LONG] * 2, colors)
    assert np.array_equal(drawn, overlay_masks(image, masks[::-1], [TOO_LONG] * 2, colors[::-1]))
    red, blue = drawn[160, 210].astype(int), drawn[120, 170].astype(int)
    # The small one is red over blue.
    assert red[0] > blue[0]
    assert blue[2] > red[2]


def test_names_move_with_their_parts():
    places = []
    for shift in range(0, 20, 2):
        masks = [square(150, 180 + shift, 10), square(165, 180 + shift, 60)]
        drawn = plates(draw(masks, ["Handle", "Left back door"]))
        rows, columns = drawn.nonzero()
        places.append((rows.mean(), columns.mean() - shift))
    assert np.ptp(places, axis=0).max() < 8
