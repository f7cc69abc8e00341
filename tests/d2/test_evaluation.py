import pytest
import torch

from sav.d2 import DatasetEvaluator, DatasetEvaluators, inference_on_dataset


class Recorder(DatasetEvaluator):
    def __init__(self, task):
        self.task = task

    def reset(self):
        self.seen = []

    def process(self, inputs, outputs):
        self.seen += [i["image_id"] for i in inputs]

    def evaluate(self):
        return {self.task: {"seen": len(self.seen)}}


def test_inference_restores_the_mode_and_joins_evaluators():
    model = torch.nn.Identity()
    model.train()
    loader = [[{"image_id": i}] for i in range(5)]
    results = inference_on_dataset(model, loader, DatasetEvaluators([Recorder("a"), Recorder("b")]))
    assert results == {"a": {"seen": 5}, "b": {"seen": 5}}
    assert model.training
    with pytest.raises(AssertionError):
        inference_on_dataset(model, loader, DatasetEvaluators([Recorder("a"), Recorder("a")]))
