import numpy as np
import pytest
import torch

from sav.d2 import Instances
from sav.drawing.parts import draw_parts, drawing_size
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("vehicleseg10k")
WHEEL, LEFT_DOOR = 2, 6


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
