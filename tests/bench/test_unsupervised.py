import pytest
import torch

from sav.bench.unsupervised import UnsupervisedClasses, class_margins
from sav.modeling.graph.queries import PartQueries
from sav.modeling.sam.decoder import DecoderOutput
from sav.ontology import load_ontology
from sav.ontology.graph import touching_ids

ONTOLOGY = load_ontology("vehicleseg10k")
DOOR, FRONT_DOOR, WINDOW, OTHER_SIDE = (
    ONTOLOGY.class_id(name)
    for name in ("Right back door", "Right front door", "Right back window", "Left front door")
)


def test_margins_are_to_the_best_other_class():
    logits = torch.tensor([[0.5, 2.0, 1.0], [0.5, 3.0, 3.0]])[:, :, None, None]
    margins = class_margins(logits, torch.tensor([True, True]))[..., 0, 0]
    assert margins.tolist() == [[1.0, -1.0], [0.0, 0.0]]


def test_classes_that_were_never_supervised_get_a_bonus():
    logits = torch.tensor([0.5, 2.0, 1.5])[None, :, None, None]
    margins = class_margins(logits, torch.tensor([True, False]))[..., 0, 0]
    assert margins.tolist() == [[-1.5, 1.5]]


def predict(presence, *, held_out=(DOOR,), margin=3.0):
    """Two slots a class; the dense map has one place where each class is above all others."""
    count = len(ONTOLOGY)
    supervised = torch.ones(count, dtype=torch.bool)
    supervised[list(held_out)] = False
    logits = torch.zeros(1, 1 + count, 4, 4)
    for number in range(count):
        logits[0, 1 + number].view(-1)[number] = margin
    logits[0, 0].view(-1)[count:] = margin
    given = torch.full((1, 2 * count), -5.0)
    for class_id, logit in presence.items():
        given[0, 2 * class_id + 1] = logit
    output = DecoderOutput(
        masks=torch.full((1, 2 * count, 4, 4), -1.0),
        presence=given,
        iou=torch.zeros(1, 2 * count),
        features=torch.zeros(1, 32, 4, 4),
    )
    queries = PartQueries(torch.arange(count).repeat_interleave(2))
    module = UnsupervisedClasses(ONTOLOGY, queries, supervised)
    return given, module(output, logits)


@pytest.mark.parametrize(
    ("presence", "expected"),
    [
        ({FRONT_DOOR: 4.0}, 4.0),
        ({WINDOW: 2.0, FRONT_DOOR: 1.0}, 2.0),
        ({OTHER_SIDE: 9.0}, -5.0),
        ({DOOR: 9.0}, -5.0),
    ],
)
def test_a_part_is_there_if_one_that_it_touches_on_its_side_is(presence, expected):
    given, found = predict(presence)
    assert found.presence[0, 2 * DOOR] == expected
    assert found.presence[0, 2 * DOOR + 1] < -100
    others = torch.arange(len(given[0])) // 2 != DOOR
    assert torch.equal(found.presence[:, others], given[:, others])


def test_the_map_says_where_and_how_surely():
    _, found = predict({FRONT_DOOR: 4.0})
    places = (found.masks[0, 2 * DOOR] > 0).flatten().nonzero()[:, 0].tolist()
    assert places == [DOOR]
    assert found.iou[0, 2 * DOOR] > 0
    _, unsure = predict({FRONT_DOOR: 4.0}, margin=0.1)
    assert unsure.iou[0, 2 * DOOR] < found.iou[0, 2 * DOOR]
    assert (found.masks[0, :2] == -1).all()


def test_without_a_supervised_neighbour_the_map_alone_counts():
    touching = touching_ids(ONTOLOGY)[DOOR]
    _, found = predict({FRONT_DOOR: 4.0}, held_out=(DOOR, *touching))
    assert found.presence[0, 2 * DOOR] == found.masks[0, 2 * DOOR].max()
