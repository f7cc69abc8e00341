import pytest
import torch

from sav.errors import SAVError
from sav.modeling.reader import PartReader, calibrate


def test_calibration_by_hand():
    scores = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    assert torch.allclose(calibrate(scores, (1.0, 0.0)), scores, atol=2e-6)
    # Odds of 1 to 4 squared, times e.
    odds = (1 / 4) ** 2 * torch.e
    found = calibrate(scores, (2.0, 1.0))
    assert found[1].item() == pytest.approx(odds / (1 + odds))
    assert (found.diff() > 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("line", [(0.0, 1.0), (-1.0, 0.0), (1.0,), (float("nan"), 0.0)])
def test_a_calibration_that_would_change_the_order_is_refused(cfg, line):
    cfg.MODEL.SAV.TEST.CALIBRATION = line
    with pytest.raises(SAVError, match=r"CALIBRATION.*slope above 0"):
        PartReader.from_config(cfg)


def test_a_model_gives_calibrated_scores_and_applies_its_threshold_to_them(model, make_input):
    model.eval()
    inputs = [make_input("car", seed=3)]
    model.reader.score_threshold = 0.0
    with torch.no_grad():
        plain = model(inputs)[0]["instances"]
        model.reader.calibration = (1.5, 0.7)
        calibrated = model(inputs)[0]["instances"]
        middle = calibrated.scores.median().item()
        model.reader.score_threshold = middle
        kept = model(inputs)[0]["instances"]
    assert len(plain) > 2
    assert torch.allclose(calibrate(plain.scores, (1.5, 0.7)), calibrated.scores, atol=1e-5)
    assert torch.equal(plain.pred_masks, calibrated.pred_masks)
    assert len(kept) == (calibrated.scores >= middle).sum()
