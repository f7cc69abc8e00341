import numpy as np
import pytest

from sav.drawing.layouts import draw_layout, layout_labels
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("vehicleseg10k")
BODY, WHEEL = ONTOLOGY.class_id("Foreground"), ONTOLOGY.class_id("Wheel")
SIZE = (480, 360)
M = 18


def layout(**shares):
    """Shares (M, M) in [0, 1] by class id."""
    made = np.zeros((len(ONTOLOGY), M, M), np.uint8)
    for name, share in shares.items():
        made[{"body": BODY, "wheel": WHEEL}[name]] = np.round(255 * share)
    return made


def test_parts_have_the_colours_of_the_ontology():
    body, wheel = np.zeros((2, M, M))
    body[3:12, 2:16], wheel[12:16, 4:8] = 1, 1
    drawn = draw_layout(layout(body=body, wheel=wheel), ONTOLOGY, SIZE)
    assert drawn.shape == (360, 480, 3)
    cell = np.array([360, 480]) / M
    # Cells where no name is written.
    for place, color in (((5, 4), ONTOLOGY.colors[BODY]), ((12.7, 4.7), ONTOLOGY.colors[WHEEL])):
        row, column = (np.array(place) * cell).astype(int)
        assert drawn[row, column].tolist() == list(color)
    assert np.ptp(drawn[5, 5]) == 0  # grey, which no part is
    assert drawn[5, 5].tolist() not in [list(color) for color in ONTOLOGY.colors]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_outlines_are_finer_than_cells(share):
    body = np.zeros((M, M))
    body[:, :6], body[:, 6] = 1, share
    columns = (layout_labels(layout(body=body), SIZE) == BODY + 1).sum(axis=1) * M / SIZE[0]
    assert np.ptp(columns) == 0
    assert columns[0] == pytest.approx(6 + share, abs=0.15)


def test_the_largest_share_wins_and_what_is_left_is_background():
    full = np.ones((M, M))
    for body, wheel, expected in ((0.6, 0.4, BODY + 1), (0.3, 0.4, WHEEL + 1), (0.3, 0.3, 0)):
        labels = layout_labels(layout(body=body * full, wheel=wheel * full), SIZE)
        assert np.unique(labels).tolist() == [expected]
    assert len(np.unique(draw_layout(layout(), ONTOLOGY, SIZE).reshape(-1, 3), axis=0)) == 1
