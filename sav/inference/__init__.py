"""Using a trained model on photos and videos."""

from sav.inference.command import add_output_arguments, predict_files
from sav.inference.predictor import SAVPredictor
from sav.inference.sources import find_inputs
from sav.inference.writers import plan_outputs

__all__ = [
    "SAVPredictor",
    "add_output_arguments",
    "find_inputs",
    "plan_outputs",
    "predict_files",
]
