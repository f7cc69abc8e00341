import copy

import pytest
import torch

from sav.export.exporter import export_onnx
from sav.predict.predictor import SAVPredictor


@pytest.fixture(scope="session")
def taught(predictor):
    """A predictor whose gallery matters: that of a new model changes nothing yet."""
    model = copy.deepcopy(predictor.model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in model.context.parameters():
            weights.add_(0.1 * torch.randn(weights.shape, generator=generator))
        # As sure as a trained model: only then are there vehicles.
        model.decoder.presence.layers[-1].bias.add_(4)
        model.decoder.sam.iou_prediction_head.layers[-1].bias.add_(2)
    model.reader.calibration = (0.9, -0.2)
    return SAVPredictor(predictor.cfg, model)


@pytest.fixture(scope="session")
def exported(taught, tmp_path_factory):
    """The folder of that model."""
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(taught.model, "", folder)
    return folder
