import numpy as np
import pytest
import torch

from sav.d2 import Instances
from sav.drawing.parts import draw_parts, drawing_size, overlay_masks
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("vehicleseg10k")
WHEEL, LEFT_DOOR = 2, 6
RED = (255, 0, 0)
TOO_LONG = "wider than any image " * 20


def make_parts(size, boxes, classes, scores=None):
    parts = Instances(size)
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    parts.pred_masks = masks
    parts.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if scores is not None:
        parts.scores = torch.tensor(scores)
    return parts


def distance(drawn, at, class_id):
    """How far a pixel is from the colour of a class over grey."""
    expected = 0.55 * 128 + 0.45 * np.array(ONTOLOGY.colors[class_id])
    return np.abs(drawn[at] - expected).max()


@pytest.mark.parametrize("side", [200, 256, 1000, 4000])
def test_pictures_have_the_colours_of_the_ontology(side):
    photo = np.full((side // 2, side, 3), 128, np.uint8)
    boxes = [(0, 0, side // 4, side // 4), (side // 2, 0, side, side // 2)]
    parts = make_parts(photo.shape[:2], boxes, [WHEEL, LEFT_DOOR])
    drawn = draw_parts(photo, parts, ONTOLOGY)
    assert drawn.shape == (max(side, 768) // 2, max(side, 768), 3)
    width = drawn.shape[1]
    assert distance(drawn, (5, width // 8), WHEEL) <= 2
    assert distance(drawn, (5, 3 * width // 4), LEFT_DOOR) <= 2
    assert (photo == 128).all()


def test_a_part_has_the_same_colour_in_two_frames():
    photo = np.full((768, 768, 3), 128, np.uint8)
    first = make_parts((768, 768), [(300, 300, 500, 500)], [WHEEL], [0.4])
    boxes = [(0, 0, 200, 200), (310, 300, 510, 500)]
    second = make_parts((768, 768), boxes, [LEFT_DOOR, WHEEL], [0.9, 0.8])
    colors = [
        draw_parts(photo, parts, ONTOLOGY, show_scores=False)[320, 330] for parts in (first, second)
    ]
    assert np.array_equal(*colors)


def test_scores_are_shown_unless_told_otherwise():
    photo = np.full((768, 768, 3), 128, np.uint8)
    better, worse = (make_parts((768, 768), [(300, 300, 500, 500)], [2], [s]) for s in (0.9, 0.4))
    assert not np.array_equal(*(draw_parts(photo, p, ONTOLOGY) for p in (better, worse)))
    same = (draw_parts(photo, p, ONTOLOGY, show_scores=False) for p in (better, worse))
    assert np.array_equal(*same)


def test_nothing_found_leaves_the_photo():
    photo = np.random.default_rng(0).integers(0, 256, (768, 400, 3), dtype=np.uint8)
    drawn = draw_parts(photo, make_parts((768, 400), [], [], []), ONTOLOGY)
    assert np.array_equal(drawn, photo)


def test_size_of_a_drawing():
    assert drawing_size(200, 100, 768) == (768, 384)
    assert drawing_size(4000, 100, 768) == (4000, 100)
    assert drawing_size(4000, 100, 768, 1000) == (1000, 25)


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
