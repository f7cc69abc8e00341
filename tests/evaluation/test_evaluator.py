import pytest

from sav.errors import SAVError
from sav.evaluation.evaluator import PhotoEvaluator, PhotoEvaluators


class Recorder(PhotoEvaluator):
    def reset(self):
        self.photos = []

    def add(self, photo):
        self.photos.append((photo, photo.truth, photo.found))


def test_evaluators_share_what_is_made_of_a_photo(dataset):
    both = [Recorder(dataset.name, dataset.records) for _ in range(2)]
    evaluators = PhotoEvaluators(both, dataset.name, dataset.records)
    outputs = [dataset.perfect(record) for record in dataset.records]
    evaluators.process([{"image_id": r["image_id"]} for r in dataset.records], outputs)
    first, second = ([id(x) for row in one.photos for x in row] for one in both)
    assert first == second
    assert len(set(first)) == 3 * len(dataset.records)
    for (photo, truth, found), record in zip(both[0].photos, dataset.records, strict=True):
        assert photo.image_id == record["image_id"]
        assert found.codes == truth.codes == [a["segmentation"] for a in record["annotations"]]


def test_strangers_are_errors(dataset):
    evaluators = PhotoEvaluators([], dataset.name, dataset.records)
    with pytest.raises(SAVError, match="no image with id 99"):
        evaluators.process([{"image_id": 99}], [dataset.perfect(dataset.records[0])])
