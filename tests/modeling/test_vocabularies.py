"""One model of two vocabularies: a wheel is a wheel, and a photo teaches what it can say."""

import pytest
import torch

from sav.d2 import build_model
from sav.errors import SAVError

JOINED = "vehicleseg10k+dsmlr"


@pytest.fixture
def model(cfg):
    cfg.MODEL.SAV.ONTOLOGY = JOINED
    return build_model(cfg)


def in_dsmlr(model, item):
    """The same photo, annotated in the second vocabulary: a bumper, two wheels and a door."""
    names = ["front_bumper", "wheel", "wheel", "front_left_door"]
    instances = item["instances"]
    instances.gt_classes = torch.tensor([model.ontology.class_id(name) for name in names])
    return {**item, "vocabulary": "dsmlr"}


def in_vehicleseg(model, item):
    names = ["foreground", "wheel", "wheel", "front_left_door"]
    item["instances"].gt_classes = torch.tensor([model.ontology.class_id(name) for name in names])
    return {**item, "vocabulary": "vehicleseg10k"}


def test_a_photo_teaches_nothing_about_what_its_vocabulary_cannot_say(model, make_input):
    batch = [in_dsmlr(model, make_input(f"car/{i}", seed=i)) for i in range(2)]
    losses = model(batch)
    sum(losses.values()).backward()
    known = set(model.ontology.ids_of(model.ontology.joined[1]))
    for head in (model.embedding_classifier, model.feature_classifier):
        assert head.background.weight.grad.abs().sum() > 0
        # The gradient is a sum over classes, of a vector each times the class's features.
        by_class = head.to_weights.weight.grad @ torch.linalg.pinv(head.features)
        touched = by_class.abs().amax(0) > 1e-4 * by_class.abs().max()
        assert set(touched.nonzero()[:, 0].tolist()) == known
    own = model.graph.vocabulary_embedding.grad.abs().sum(2) > 0
    assert not own[0].any()


def test_shared_parts_learn_from_both_vocabularies(model, make_input):
    wheel = model.ontology.class_id("wheel")
    for annotate in (in_dsmlr, in_vehicleseg):
        model.zero_grad()
        losses = model([annotate(model, make_input("car/1", seed=1))])
        sum(losses.values()).backward()
        assert model.graph.class_embedding.grad[wheel].abs().sum() > 0


def test_an_unknown_vocabulary_is_a_clear_error(model, make_input):
    message = "^vocabulary 'cars': the model knows vehicleseg10k, dsmlr$"
    with pytest.raises(SAVError, match=message):
        model.eval()([{**make_input(), "vocabulary": "cars"}])


def test_answers_are_in_the_photo_s_vocabulary(model, make_input):
    model.reader.score_threshold = 0.0
    model.eval()
    item = make_input("car/1", seed=1)
    with torch.no_grad():
        both = [model([{**item, "vocabulary": name}])[0] for name in ("vehicleseg10k", "dsmlr")]
    for found, ontology in zip(both, model.ontology.joined, strict=True):
        assert len(found["instances"]) > 0
        assert found["instances"].pred_classes.max() < len(ontology)
        assert found["instances"].pred_classes.min() >= 0
        assert found["part_map"].max() <= len(ontology)


def test_photos_of_both_vocabularies_share_a_batch(model, make_input):
    model.reader.score_threshold = 0.0
    model.eval()
    items = [
        {**make_input("a", 1), "vocabulary": "dsmlr"},
        {**make_input("b", 2), "vocabulary": "vehicleseg10k"},
    ]
    with torch.no_grad():
        together = model(items)
        alone = [model([item])[0] for item in items]
    for first, second in zip(together, alone, strict=True):
        assert torch.equal(first["instances"].pred_classes, second["instances"].pred_classes)
        torch.testing.assert_close(first["instances"].scores, second["instances"].scores)


def test_neighbours_of_the_other_vocabulary_give_what_both_know(model, make_input):
    model.train()
    model([in_dsmlr(model, make_input("car/1", seed=1))])
    stored = model.context.gallery.exemplars
    present = {model.ontology.class_names[i] for i in stored.present[0].nonzero()[:, 0].tolist()}
    assert present == {"front_bumper", "wheel", "front_left_door"}
