import pytest
import torch

from sav.d2 import Instances
from sav.predict.files import SteadyParts


def test_parts_do_not_blink_when_scores_waver():
    def drawn(*scores):
        parts = Instances((4, 4))
        parts.pred_classes = torch.tensor([2, 2, 5][: len(scores)])
        parts.scores = torch.tensor(scores)
        return steady(parts).scores.tolist()

    steady = SteadyParts(0.3)
    assert drawn(0.25, 0.125, 0.25) == []
    assert drawn(0.25, 0.5, 0.25) == [0.5]
    # One wheel was there, so one may stay with less; a second one has to earn its place.
    assert drawn(0.25, 0.26, 0.25) == pytest.approx([0.26])
    assert drawn(0.5, 0.26) == pytest.approx([0.5])
    assert drawn(0.5, 0.5) == [0.5, 0.5]
    assert drawn(0.25, 0.25) == [0.25, 0.25]
    assert drawn(0.125, 0.125) == []
    assert drawn(0.25, 0.25) == []
