"""Trainings of experiments, and that nothing else takes them for SAV's own."""

import json

import numpy as np
import pytest

from sav.bench.galleries import RandomGallery
from sav.bench.train import ExperimentTrainer
from sav.config import load_config
from sav.engine.arguments import argument_parser
from sav.engine.run import main
from sav.errors import SAVError
from sav.predict.predictor import SAVPredictor


@pytest.mark.parametrize(
    "changes",
    [
        ["EXPERIMENT.HELD_OUT", "('Wheel',)", "MODEL.SAV.CONTEXT.ENABLED", "False"],
        ["EXPERIMENT.RANDOM_NEIGHBOURS", "True"],
        ["EXPERIMENT.NAIVE_FLIP", "True"],
    ],
)
def test_experiments_train_and_are_no_runs_of_sav(root, changes):
    line = ["--config-file", str(root / "toy.yaml"), *changes, "OUTPUT_DIR", str(root / "run")]
    args = argument_parser().parse_args(line)
    main(args, ExperimentTrainer)
    assert "bench_valid" in json.loads((root / "run" / "results.json").read_text())
    with pytest.raises(SAVError, match=r"EXPERIMENT.*sav\.bench\.train"):
        main(args)
    with pytest.raises(SAVError, match=r"EXPERIMENT.*sav\.bench\.train"):
        SAVPredictor.from_pretrained(root / "run", "cpu")


def config(root, *changes):
    return load_config(root / "toy.yaml", ["DATASETS.ROOT", str(root), *changes], experiment=True)


def test_random_neighbours_are_evaluated_with_random_neighbours(root):
    model = ExperimentTrainer.build_model(config(root, "EXPERIMENT.RANDOM_NEIGHBOURS", "True"))
    assert type(model.context.gallery) is RandomGallery


def test_naive_flips_leave_the_sides_as_they_are(cfg):
    cfg.INPUT.SAV.FLIP_PROB = 1.0
    swapping = ExperimentTrainer.build_mapper(cfg)
    cfg.EXPERIMENT.NAIVE_FLIP = True
    naive = ExperimentTrainer.build_mapper(cfg)
    (same,), (swapped,) = (mapper.mirror_ids.values() for mapper in (naive, swapping))
    classes = np.arange(len(same))
    assert np.array_equal(same, classes)
    assert not np.array_equal(swapped, classes)
