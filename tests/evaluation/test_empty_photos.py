import pytest

from sav.drawing.parts import CONFIDENT
from sav.errors import SAVError
from sav.evaluation.empty_photos import EmptyPhotosEvaluator


def test_parts_are_counted_where_nothing_is_annotated(dataset):
    records = [
        {**record, "annotations": [] if index < 3 else record["annotations"]}
        for index, record in enumerate(dataset.records)
    ]
    evaluator = EmptyPhotosEvaluator(dataset.name, records)
    for index, record in enumerate(records):
        output = dataset.perfect(dataset.records[index])
        output["instances"].scores[:] = CONFIDENT
        if index == 1:
            output["instances"].scores[0] = CONFIDENT - 1e-3
        if index == 2:
            output["instances"].scores[:] = 0.1
        evaluator.process([{"image_id": record["image_id"]}], [output])
    parts = len(dataset.perfect(dataset.records[0])["instances"])
    expected = {"photos": 3, "photos_with_parts": 2, "parts": 2 * parts - 1}
    assert evaluator.evaluate() == {"empty": expected}


def test_a_data_set_without_empty_photos_has_no_such_figures(dataset):
    evaluator = EmptyPhotosEvaluator(dataset.name, dataset.records)
    record = dataset.records[0]
    evaluator.process([{"image_id": record["image_id"]}], [dataset.perfect(record)])
    assert evaluator.evaluate() == {}
    with pytest.raises(SAVError, match="no image with id 99"):
        evaluator.process([{"image_id": 99}], [dataset.perfect(record)])
