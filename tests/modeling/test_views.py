"""A view's classes as unions of parts: what they predict, and what they teach."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sav.modeling.criterion import PartCriterion
from sav.modeling.original_frame import Frame
from sav.modeling.reader import PartReader
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Supervision, Targets
from sav.modeling.views import Members, unite
from sav.ontology import Union, View

from .small_views import ontology, view_queries

PARTS = ("left_door", "left_window", "right_door", "right_window", "wheel", "plate", "bumper")
SLOTS = 2
CLASSES = torch.arange(len(PARTS)).repeat_interleave(SLOTS)
SIDE = 8


GRAPH = ontology("graph", PARTS, SLOTS)
COARSE = {
    "door": Union(("left_door", "left_window", "right_door", "right_window")),
    "left door": Union(("left_door", "left_window")),
    "wheel": Union(("wheel",), each=True),
    "bumper": Union(("bumper",), ("plate",)),
}


def queries(unions):
    return view_queries(View(ontology("coarse", list(unions)), GRAPH, tuple(unions.values())))


def decoded(batch=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    size = batch, len(CLASSES)
    masks = 3 * torch.randn(*size, SIDE, SIDE, generator=rng)
    presence, iou = torch.randn(*size, generator=rng), torch.randn(*size, generator=rng)
    return DecoderOutput(masks, presence, iou, torch.zeros(batch, 32, SIDE, SIDE))


def query(name, slot=0):
    return SLOTS * PARTS.index(name) + slot


def members_of(*names):
    group = {PARTS.index(name): query(name) for name in names}
    return Members.of([group], [_ids(Union(names))])


def _ids(union):
    return queries({"one": union}).unions[0]


def test_the_whole_view_leaves_everything_as_it_is():
    view = view_queries(View.of(GRAPH, GRAPH))
    output = decoded()
    assert view(output) is output
    assert torch.equal(view.classes, CLASSES)


def test_a_union_of_one_part_is_that_part_to_the_bit():
    output = decoded()
    united = queries({"b": COARSE["wheel"], "d": COARSE["left door"]})(output)
    for slot in range(SLOTS):
        for name in ("masks", "presence", "iou"):
            here, there = getattr(united, name), getattr(output, name)
            assert torch.equal(here[:, slot], there[:, query("wheel", slot)])


def test_a_union_is_where_one_of_its_parts_is():
    output = decoded()
    output.presence[:] = 30.0  # all are there
    united = unite(output, members_of("left_door", "left_window"))
    both = [query("left_door"), query("left_window")]
    expected = 1 - (1 - output.masks[:, both].sigmoid()).prod(1)
    torch.testing.assert_close(united.masks[:, 0].sigmoid(), expected)
    output.presence[:] = 0.3
    united = unite(output, members_of("left_door", "left_window"))
    torch.testing.assert_close(
        united.presence[0, 0].sigmoid(), 1 - (1 - torch.tensor(0.3).sigmoid()) ** 2
    )


def test_a_part_that_is_not_there_adds_nothing():
    output = decoded()
    output.presence[0, query("left_window")] = -40.0
    united = unite(output, members_of("left_door", "left_window"))
    for name in ("masks", "presence", "iou"):
        value = getattr(united, name)[0, 0]
        torch.testing.assert_close(value, getattr(output, name)[0, query("left_door")])


def test_extreme_logits_stay_finite_and_pass_gradients():
    for value in (-1e4, -200.0, 0.0, 200.0, 1e4):
        output = decoded()
        masks = torch.full_like(output.masks, value, requires_grad=True)
        presence = torch.full_like(output.presence, value, requires_grad=True)
        said = dataclasses.replace(output, masks=masks, presence=presence)
        united = unite(said, members_of("left_door", "left_window"))
        (united.masks.sum() + united.presence.sum() + united.iou.sum()).backward()
        for x in (united.masks, united.presence, united.iou, masks.grad, presence.grad):
            assert x.isfinite().all(), value


def test_a_mask_that_is_almost_nowhere_still_learns():
    pieces = [query("left_door"), query("left_window")]
    for value in (-30.0, -20.0, -8.0, -1.0, 1.0, 8.0):
        for other in (2.0, 0.0, -2.0, -5.0, -20.0):
            output = decoded()
            masks = torch.full_like(output.masks, value, requires_grad=True)
            output.presence[0, pieces] = torch.tensor([2.0, other])
            united = unite(
                dataclasses.replace(output, masks=masks), members_of("left_door", "left_window")
            )
            united.masks.sum().backward()
            exact = torch.full((2,), value, dtype=torch.float64, requires_grad=True)
            likely = torch.tensor([2.0, other], dtype=torch.float64).sigmoid()
            hidden = torch.log1p(-likely / likely[0] * exact.sigmoid()).sum()
            logit = (-hidden.expm1()).log() - hidden
            logit.backward()
            torch.testing.assert_close(united.masks[0, 0, 0, 0], logit.float(), rtol=1e-4, atol=0)
            gradient = masks.grad[0, pieces, 0, 0]
            torch.testing.assert_close(gradient, exact.grad.float(), rtol=1e-3, atol=1e-6)


class CountedOperations(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_the_masks_of_more_photos_are_not_more_operations():
    view, counts = queries(COARSE), []
    for photos in (2, 9):
        image = torch.arange(photos).repeat_interleave(2)
        with CountedOperations() as counted:
            view.masks_of(decoded(batch=photos), image, torch.tensor([5, 1]).repeat(photos))
        counts.append(counted.count)
    assert counts[0] == counts[1] > 0


def test_masks_of_some_queries_are_those_of_all_united():
    view, output = queries(COARSE), decoded(batch=3)
    united = view(output).masks
    image = torch.tensor([0, 0, 0, 2, 2])
    query = torch.tensor([5, 1, 6, 0, 3])
    torch.testing.assert_close(view.masks_of(output, image, query), united[image, query])
    some = view.members.select(torch.tensor([3, 0, 5]))
    torch.testing.assert_close(unite(output, some).masks, united[:, [3, 0, 5]])
    torch.testing.assert_close(unite(output, some).presence, view(output).presence[:, [3, 0, 5]])
    whole = view_queries(View.of(GRAPH, GRAPH))
    assert torch.equal(whole.masks_of(output, image, query), output.masks[image, query])


def test_a_union_is_never_less_likely_than_its_best_part():
    for seed in range(20):
        output = decoded(seed=seed)
        united = unite(output, members_of("left_door", "left_window", "right_door"))
        pieces = [query(n) for n in ("left_door", "left_window", "right_door")]
        assert united.presence[0, 0] >= output.presence[0, pieces].max()
        low, high = output.iou[0, pieces].aminmax()
        assert low <= united.iou[0, 0] <= high


def test_an_attached_part_belongs_to_the_mask_but_does_not_say_that_it_is_there():
    output = decoded()
    output.presence[0, query("plate")] = 9.0
    output.presence[0, query("bumper")] = -3.0
    view = queries({"bumper": COARSE["bumper"]})
    united = view(output)
    assert united.presence[0, 0] == pytest.approx(-3.0, abs=1e-5)
    both = [query("bumper"), query("plate")]
    expected = 1 - (1 - output.masks[0, both].sigmoid()).prod(0)
    torch.testing.assert_close(united.masks[0, 0].sigmoid(), expected)


def test_an_attached_part_learns_from_its_union_where_it_is_not_alone():
    output = decoded()
    masks, presence, iou = (x.requires_grad_() for x in (output.masks, output.presence, output.iou))
    view = queries({"bumper": COARSE["bumper"]})
    truth = supervision(view, [0], [box(0, 0, 16, 32)])
    losses = PartCriterion(weights=WEIGHTS, points=4096).supervise(output, truth)
    sum(losses.values()).backward()
    plate, bumper = query("plate"), query("bumper")
    inside, outside = masks.grad[0, :, 1:-1, :3], masks.grad[0, :, 1:-1, 5:-1]
    assert (inside[plate] >= 0).all()
    assert (outside[plate] > 0).all()
    assert (inside[bumper] < 0).all()
    assert presence.grad[0, plate] == 0
    assert iou.grad[0, plate] == 0
    assert iou.grad[0, bumper] != 0


def test_permuted_classes_give_permuted_answers():
    output = decoded()
    names = list(COARSE)
    turned = names[::-1]
    first, second = (queries({n: COARSE[n] for n in order}) for order in (names, turned))
    here, there = first(output), second(output)
    for class_id, name in enumerate(names):
        mine, other = first.classes == class_id, second.classes == turned.index(name)
        assert torch.equal(here.masks[:, mine], there.masks[:, other])
        assert torch.equal(here.presence[:, mine], there.presence[:, other])
    assert torch.equal(first.covered, second.covered)


def test_a_class_with_an_unclear_side_gives_way_to_the_one_with_a_clear_side():
    view = queries({name: COARSE[name] for name in ("door", "left door")})
    output = decoded()
    output.presence[:] = -9.0
    output.presence[0, query("left_door")] = 6.0
    united = view(output)
    presence = united.presence[0].sigmoid()
    kept = view.beyond_narrower(presence, view.members)
    door, left = (view.classes == 0) & (view.group == 0), (view.classes == 1) & (view.group == 0)
    assert presence[door].item() > 0.99
    assert kept[door].item() < 0.01
    assert torch.equal(kept[left], presence[left])


WEIGHTS = {"mask": 1.0, "dice": 1.0, "presence": 1.0, "iou": 1.0, "dense": 1.0}


def box(left, top, right, bottom, size=4 * SIDE):
    mask = torch.zeros(size, size)
    mask[top:bottom, left:right] = 1
    return mask


def supervision(view, classes, masks):
    size = masks[0].shape
    labels = torch.zeros(size, dtype=torch.int64)
    for class_id, mask in zip(classes, masks, strict=True):
        labels[mask > 0] = class_id + 1
    target = Targets(torch.tensor(classes), torch.stack(masks), labels, [0] * len(classes))
    supervised = view.covered[None, CLASSES]
    return Supervision([target], [torch.Generator().manual_seed(0)], [view], supervised)


def learn(view, truth, steps=300, seed=0):
    """Logits that a criterion is content with, from a random start."""
    start = decoded(seed=seed)
    masks, presence = start.masks.requires_grad_(), start.presence.requires_grad_()
    criterion = PartCriterion(weights=WEIGHTS, points=64)
    optimizer = torch.optim.Adam([masks, presence], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(criterion.supervise(dataclasses.replace(start), truth).values()).backward()
        optimizer.step()
    return dataclasses.replace(start, masks=masks.detach(), presence=presence.detach())


def test_a_coarse_mask_teaches_the_union_of_its_parts():
    view = queries({name: COARSE[name] for name in ("left door", "wheel")})
    learned = learn(view, supervision(view, [0], [box(4, 4, 20, 28)]))
    united = view(learned)
    there = (united.presence[0, view.classes == 0] > 0).tolist()
    assert sorted(there) == [False, True]
    best = united.masks[0, view.classes == 0][there.index(True)] > 0
    assert torch.equal(best, box(4, 4, 20, 28)[::4, ::4] > 0)
    # What the view shows not to be there is absent, and so is the other slot.
    assert (learned.presence[0, [query("wheel"), query("wheel", 1)]] < 0).all()


def test_a_mask_that_needs_a_part_teaches_that_it_is_there():
    output = decoded()
    presence = output.presence.clone().requires_grad_()
    with torch.no_grad():
        presence[0, query("left_door")], presence[0, query("left_window")] = 3.0, -3.0
        output.masks[0, query("left_door")] = -4.0
        output.masks[0, query("left_window")] = 4.0
    said = dataclasses.replace(output, presence=presence)
    unite(said, members_of("left_door", "left_window")).masks.sum().backward()
    assert presence.grad[0, query("left_window")] > 0
    # The likeliest part is what others are compared with.
    assert presence.grad[0, query("left_door")] == 0
    assert presence.grad.isfinite().all()


def presence_gradient(view):
    """(1, N) of the presence loss, where a photo shows the view's first class."""
    output = decoded()
    presence = output.presence.requires_grad_()
    truth = supervision(view, [0], [box(4, 4, 20, 28)])
    losses = PartCriterion(weights=WEIGHTS, points=64).supervise(output, truth)
    return torch.autograd.grad(losses["loss_presence"], presence)[0]


def test_what_the_view_cannot_tell_learns_nothing():
    view = queries({name: COARSE[name] for name in ("left door", "bumper")})
    gradient = presence_gradient(view)
    touched = {PARTS[CLASSES[q]] for q in gradient[0].nonzero()[:, 0].tolist()}
    assert touched == {"left_door", "left_window", "bumper"}


def test_parts_of_a_class_that_is_there_are_not_taught_to_be_absent():
    # A door of which the side is not told: neither side is wrong.
    view = queries({name: COARSE[name] for name in ("door", "left door")})
    gradient = presence_gradient(view)
    raised = (gradient[0] < 0).view(-1, SLOTS)[: PARTS.index("wheel")]
    assert raised.all(0).any()  # the same slot of all four parts
    assert torch.equal(raised.any(1), torch.ones(4, dtype=torch.bool))


def test_the_dense_loss_of_a_view_takes_any_of_its_parts_for_right():
    view = queries({"left door": COARSE["left door"]})
    truth = supervision(view, [0], [box(0, 0, 16, 32)])
    criterion = PartCriterion(weights=WEIGHTS, points=64)
    dense = torch.full((1, 1 + len(PARTS), SIDE, SIDE), -20.0)
    dense[:, 1 + PARTS.index("left_window"), :4, :4] = 20.0
    dense[:, 1 + PARTS.index("left_door"), 4:, :4] = 20.0
    dense[:, 1 + PARTS.index("wheel"), :4, 4:] = 20.0  # of which the view cannot speak
    dense[:, 0, 4:, 4:] = 20.0
    loss = criterion(dataclasses.replace(decoded(), class_logits=(dense,)), truth)["loss_dense"]
    assert loss < 1e-4
    dense[:, 1 + PARTS.index("right_door"), 4:, :4] = 22.0
    dense.requires_grad_()
    loss = criterion(dataclasses.replace(decoded(), class_logits=(dense,)), truth)["loss_dense"]
    assert loss > 0.3
    loss.backward()
    wrong = dense.grad[:, 1 + PARTS.index("right_door"), 4:, :4]
    assert (wrong > 0).all()


def test_the_dense_loss_of_a_union_is_indifferent_to_its_attached_parts():
    view = queries({name: COARSE[name] for name in ("bumper", "wheel")})
    truth = supervision(view, [0], [box(0, 0, 16, 32)])
    criterion = PartCriterion(weights=WEIGHTS, points=64)
    dense = torch.zeros(1, 1 + len(PARTS), SIDE, SIDE).requires_grad_()
    criterion(dataclasses.replace(decoded(), class_logits=(dense,)), truth)["loss_dense"].backward()
    inside, outside = dense.grad[0, 1:, :, :4], dense.grad[0, 1:, :, 4:]
    plate, bumper = PARTS.index("plate"), PARTS.index("bumper")
    assert (inside[plate] == 0).all()
    assert (inside[bumper] < 0).all()
    assert (outside[plate] > 0).all()


def test_a_coarse_exemplar_lends_what_its_parts_are_taken_for():
    view = queries({name: COARSE[name] for name in ("left door", "bumper")})
    masks = torch.zeros(2, SIDE, SIDE)
    masks[0, :, :4] = 1.0
    predicted = torch.zeros(len(PARTS), SIDE, SIDE)
    predicted[PARTS.index("left_window"), :3] = 0.6
    predicted[PARTS.index("left_door"), 3:] = 0.4
    parts, known = view.tell_apart(masks, predicted)
    assert torch.equal(parts[PARTS.index("left_window"), :3], masks[0, :3])
    assert torch.equal(parts[PARTS.index("left_door"), 3:], masks[0, 3:])
    assert parts.sum() == masks.sum()
    told = {PARTS[i] for i in known.nonzero()[:, 0].tolist()}
    assert told == {"left_door", "left_window", "bumper"}
    predicted[PARTS.index("left_window")] = 0.0
    known = view.tell_apart(masks, predicted)[1]
    # That no window is taken for seen does not mean that there is none.
    assert not known[PARTS.index("left_window")]


def place(output, name, slot, mask, score=6.0):
    output.masks[0, query(name, slot)] = torch.where(mask > 0, 8.0, -8.0)
    output.presence[0, query(name, slot)] = score
    output.iou[0, query(name, slot)] = score


def test_parts_are_joined_within_their_vehicle():
    output = decoded()
    output.presence[:] = -9.0
    place(output, "left_door", 0, box(0, 3, 3, 6, SIDE))
    place(output, "left_window", 1, box(0, 1, 3, 3, SIDE))
    place(output, "left_door", 1, box(5, 3, 8, 6, SIDE), 5.0)
    place(output, "left_window", 0, box(5, 1, 8, 3, SIDE), 5.0)
    view = queries({"left door": COARSE["left door"]})
    reader = PartReader(score_threshold=0.3, background=0.5)
    frame = Frame((SIDE, SIDE), (SIDE, SIDE), SIDE)
    (found,) = reader(output, [view], CLASSES, [frame])
    instances = found["instances"]
    assert instances.pred_classes.tolist() == [0, 0]
    assert instances.vehicle_ids.tolist() == [0, 1]
    expected = torch.stack([box(0, 1, 3, 6, SIDE), box(5, 1, 8, 6, SIDE)]) > 0
    assert torch.equal(instances.pred_masks, expected)
    assert torch.equal(found["part_map"] > 0, expected.any(0))


def test_a_photo_that_shows_nothing_has_an_answer():
    output = decoded()
    output.presence[:] = -30.0
    reader = PartReader(score_threshold=0.3, background=0.5)
    (found,) = reader(output, [queries(COARSE)], CLASSES, [Frame((SIDE, SIDE), (SIDE, SIDE), SIDE)])
    assert len(found["instances"]) == 0
    assert found["part_map"].shape == (SIDE, SIDE)
    assert not found["part_map"].any()
