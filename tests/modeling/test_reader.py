import pytest
import torch

from sav.errors import SAVError
from sav.modeling.original_frame import Frame
from sav.modeling.reader import PartReader, calibrate, soft_iou
from sav.modeling.sam.decoder import DecoderOutput
from sav.ontology import View

from .small_views import ontology, view_queries


def test_calibration_by_hand():
    scores = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    assert torch.allclose(calibrate(scores, (1.0, 0.0)), scores, atol=2e-6)
    # Odds of 1 to 4 squared, times e.
    odds = (1 / 4) ** 2 * torch.e
    found = calibrate(scores, (2.0, 1.0))
    assert found[1].item() == pytest.approx(odds / (1 + odds))
    assert (found.diff() > 0).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_soft_iou_by_hand():
    likely = torch.tensor([[[0.9, 0.8, 0.3, 0.1]], [[1.0, 1.0, 0.0, 0.0]], [[0.4, 0.1, 0.0, 0.0]]])
    found = soft_iou(likely.logit())
    assert found[0].item() == pytest.approx((0.9 + 0.8) / (2 + 0.3 + 0.1))
    assert found[1:].tolist() == [1.0, 0.0]


def test_of_two_parts_alike_the_one_with_the_surer_mask_scores_higher():
    graph = ontology("graph", ("hood", "roof"))
    masks = torch.full((1, 2, 8, 8), -6.0)
    masks[0, 0, :4], masks[0, 1, 4:] = 0.5, 6.0
    output = DecoderOutput(masks, torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1, 32, 8, 8))
    view = view_queries(View.of(graph, graph))
    reader = PartReader(score_threshold=0.0, background=0.4)
    (seen,) = reader(output, [view], torch.arange(2), [Frame((8, 8), (32, 32), 32)])
    assert seen["instances"].pred_classes.tolist() == [1, 0]
    vague, sure = torch.tensor([0.5, 6.0]).sigmoid().tolist()
    hood, roof = soft_iou(masks[0]).tolist()
    assert hood == pytest.approx(vague, abs=0.01)
    assert roof == pytest.approx(sure, abs=0.01)
    expected = torch.ones(()).sigmoid().item() ** 2 * roof
    assert seen["instances"].scores[0].item() == pytest.approx(expected, abs=1e-5)


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
