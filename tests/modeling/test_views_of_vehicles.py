"""One model of vehicles: it learns from photos of any view, and answers in any."""

import pytest
import torch
from torch.nn import functional as F

from sav.d2 import build_model
from sav.errors import SAVError
from sav.modeling.original_frame import Frame
from sav.modeling.sam.decoder import DecoderOutput

VIEWS = ("vehicle", "vehicleseg10k", "dsmlr", "udapart_car", "carparts_seg")


@pytest.fixture
def model(cfg):
    cfg.MODEL.SAV.ONTOLOGY = "vehicle"
    return build_model(cfg)


def annotated(model, item, view, names):
    vocabulary = next(q.view.vocabulary for q in model.views if q.view.name == view)
    instances = item["instances"]
    instances.gt_classes = torch.tensor([vocabulary.class_id(name) for name in names])
    return {**item, "vocabulary": view}


def in_dsmlr(model, item):
    """A bumper, two wheels and a door with its window."""
    return annotated(model, item, "dsmlr", ["front_bumper", "wheel", "wheel", "front_left_door"])


def in_vehicleseg(model, item):
    names = ["Foreground", "Wheel", "Wheel", "Left front door"]
    return annotated(model, item, "vehicleseg10k", names)


def in_vehicle(model, item):
    names = ["front_bumper", "left_front_wheel", "left_back_wheel", "left_front_door"]
    return annotated(model, item, "vehicle", names)


def test_it_knows_its_own_parts_and_all_their_views(model):
    assert {queries.view.name for queries in model.views} == set(VIEWS)
    assert model.views[0].view.is_whole


@pytest.mark.parametrize("view", VIEWS)
def test_answers_come_in_any_view(model, make_input, view):
    model.reader.score_threshold = 0.0
    model.eval()
    with torch.no_grad():
        (found,) = model([{**make_input("car/1", seed=1), "vocabulary": view}])
    vocabulary = next(q.view.vocabulary for q in model.views if q.view.name == view)
    instances = found["instances"]
    assert len(instances) > 0
    assert instances.scores.min() >= 0
    assert instances.scores.max() <= 1
    assert instances.pred_classes.min() >= 0
    assert instances.pred_classes.max() < len(vocabulary)
    assert found["part_map"].max() <= len(vocabulary)


def test_the_default_answer_is_in_the_model_s_own_parts(model, make_input):
    model.eval()
    item = make_input("car/1", seed=1)
    with torch.no_grad():
        (named,) = model([{**item, "vocabulary": "vehicle"}])
        (default,) = model([item])
    assert torch.equal(named["part_map"], default["part_map"])


def test_an_unknown_view_is_a_clear_error(model, make_input):
    with pytest.raises(SAVError, match=r"^vocabulary 'cars': the model knows vehicle, "):
        model.eval()([{**make_input(), "vocabulary": "cars"}])


def test_photos_of_several_views_share_a_batch(model, make_input):
    model.reader.score_threshold = 0.0
    model.eval()
    items = [{**make_input(view, n), "vocabulary": view} for n, view in enumerate(VIEWS)]
    with torch.no_grad():
        together = model(items)
        alone = [model([item])[0] for item in items]
    for first, second in zip(together, alone, strict=True):
        assert torch.equal(first["instances"].pred_classes, second["instances"].pred_classes)
        torch.testing.assert_close(first["instances"].scores, second["instances"].scores)


def test_losses_of_a_mixed_batch_are_the_mean_over_its_photos(model, make_input):
    annotate = (in_dsmlr, in_vehicleseg, in_vehicle, in_dsmlr)
    items = [a(model, make_input(f"car/{n}", seed=n)) for n, a in enumerate(annotate)]
    model.context = None
    model.eval()  # batch statistics would mix the photos

    def losses_of(batch):
        photos = model.encode(batch)
        prompts = model.prompts(photos)
        return model.losses(batch, photos, prompts, model.decode(photos, prompts))

    together = losses_of(items)
    alone = [losses_of([item]) for item in items]
    for name, loss in together.items():
        expected = torch.stack([losses[name] for losses in alone]).mean()
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_a_photo_teaches_nothing_of_what_its_view_cannot_say(model, make_input):
    model.context = None
    batch = [in_dsmlr(model, make_input("car/1", seed=1))]
    photos = model.encode(batch)
    prompts = model.prompts(photos)
    output = model.decode(photos, prompts)
    output.presence.retain_grad()
    output.masks.retain_grad()
    sum(model.losses(batch, photos, prompts, output).values()).backward()
    names = model.ontology.class_names
    parts = [names[part] for part in model.queries.classes.tolist()]
    sure = {parts[query] for query in output.presence.grad[0].nonzero()[:, 0].tolist()}
    drawn = {parts[q] for q in output.masks.grad[0].flatten(1).any(1).nonzero()[:, 0].tolist()}
    unsaid = {"roof", "cargo_box", "underbody", "left_frame", "left_quarter_window"}
    assert not unsaid & (sure | drawn)
    assert {"left_front_door", "left_front_window", "hood"} <= sure
    # What is attached to the bumper learns by the bumper's mask.
    assert {"left_front_door", "left_front_window", "front_bumper", "grille"} <= drawn


def test_exemplars_of_any_view_are_exemplars_of_parts(model, make_input):
    model.eval()
    made = model.exemplars(
        [in_dsmlr(model, make_input("a/0")), in_vehicle(model, make_input("b/0"))]
    ).exemplars
    names = model.ontology.class_names
    coarse, fine = ({names[i] for i in row.nonzero()[:, 0].tolist()} for row in made.present)
    assert fine == {"front_bumper", "left_front_wheel", "left_back_wheel", "left_front_door"}
    assert coarse & {"left_front_door", "left_front_window"}
    assert not coarse & {"right_front_door", "roof", "hood"}
    known = {names[i] for i in made.known[0].nonzero()[:, 0].tolist()}
    assert {"hood", "trunk", *coarse} <= known
    assert not known & {"roof", "left_frame"}
    assert made.known[1].all()


def test_a_training_step_with_neighbours_of_all_views(model, make_input):
    model.train()
    for annotate in (in_dsmlr, in_vehicleseg, in_vehicle, in_dsmlr):
        losses = model([annotate(model, make_input(annotate.__name__, seed=1))])
        assert all(loss.isfinite() for loss in losses.values())
    assert len(model.context.gallery) == 3


@pytest.mark.parametrize("view", VIEWS)
def test_mirrored_parts_are_answered_with_the_other_side(model, view):
    queries = next(q for q in model.views if q.view.name == view)
    places = list(zip(model.queries.classes.tolist(), model.queries.slots.tolist(), strict=True))
    mirror = model.ontology.mirror_ids
    swapped = [places.index((mirror[part], slot)) for part, slot in places]
    rng = torch.Generator().manual_seed(0)
    masks = 4 * torch.randn(1, len(places), 4, 4, generator=rng)
    masks = F.interpolate(masks, size=32, mode="bilinear")
    presence, iou = torch.randn(2, 1, len(places), generator=rng)
    output = DecoderOutput(masks, presence, iou, torch.zeros(1, 1, 1, 1))
    flipped = DecoderOutput(
        masks.flip(-1)[:, swapped], presence[:, swapped], iou[:, swapped], output.features
    )
    frames = [Frame((32, 32), (32, 32), 32)]
    here, there = (
        model.reader(said, [queries], model.queries.classes, frames)[0]
        for said in (output, flipped)
    )
    other = torch.tensor(queries.view.vocabulary.mirror_ids)
    one, two = here["instances"], there["instances"]
    assert len(one) > 10
    torch.testing.assert_close(one.scores, two.scores)
    assert torch.equal(other[one.pred_classes], two.pred_classes)
    assert (one.pred_masks.flip(-1) != two.pred_masks).float().mean() < 1e-3
    assert torch.equal(one.vehicle_ids, two.vehicle_ids)
    labels = F.pad(1 + other, (1, 0))[here["part_map"].long()].flip(-1)
    assert (labels != there["part_map"]).float().mean() < 1e-2
