"""Part metrics, the sheet of predictions, and the results of a run."""

from sav.evaluation.build import build_part_evaluator
from sav.evaluation.drawing import CONFIDENT, draw_parts, keep_confident
from sav.evaluation.parts import PartEvaluator
from sav.evaluation.results import Results, format_results_table, write_results
from sav.evaluation.sheet import PredictionSheet

__all__ = [
    "CONFIDENT",
    "PartEvaluator",
    "PredictionSheet",
    "Results",
    "build_part_evaluator",
    "draw_parts",
    "format_results_table",
    "keep_confident",
    "write_results",
]
