from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from sav.d2 import BitMasks, Instances
from sav.modeling.criterion import PartCriterion
from sav.modeling.matcher import match
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Supervision, Targets

from .fake_gpu import FakeGPU, OnGPU, on_gpu
from .small_views import whole_view

WEIGHTS = {"mask": 1.0, "dice": 1.0, "presence": 1.0, "iou": 1.0, "dense": 1.0}
VIEW = whole_view([1, 3, 1])
QUERY_CLASSES = VIEW.classes
S = 32
CPU = torch.device("cpu")


def rectangle(left, right):
    mask = torch.zeros(S, S, dtype=torch.bool)
    mask[4:28, left:right] = True
    return mask


def instances_of(classes, masks):
    instances = Instances((S, S))
    instances.gt_classes = torch.tensor(classes, dtype=torch.int64)
    instances.gt_masks = BitMasks(torch.stack(masks) if masks else torch.zeros(0, S, S).bool())
    instances.gt_vehicle_ids = torch.zeros_like(instances.gt_classes)
    return instances


def targets(classes, masks):
    everything = torch.ones(4, dtype=torch.bool)
    return Targets.from_instances(instances_of(classes, masks), everything, CPU)


def output(masks=None, presence=None, photos=1):
    shape = (photos, len(QUERY_CLASSES))
    return DecoderOutput(
        masks=torch.full((*shape, 8, 8), -4.0) if masks is None else masks,
        presence=torch.zeros(shape) if presence is None else presence,
        iou=torch.zeros(shape),
        features=torch.zeros(photos, 32, 8, 8),
    )


def logits_of(mask):
    return F.avg_pool2d(mask[None, None].float(), 4)[0, 0] * 16 - 8


@pytest.fixture
def part_criterion():
    return PartCriterion(weights=WEIGHTS, points=256)


@pytest.fixture
def criterion(part_criterion):
    """The criterion, with a generator for each image."""

    def losses(result, dense, batch):
        generators = [torch.Generator().manual_seed(i) for i in range(len(batch))]
        supervised = torch.ones_like(result.presence, dtype=torch.bool)
        views = [VIEW] * len(batch)
        result = replace(result, class_logits=tuple(dense))
        return part_criterion(result, Supervision(batch, generators, views, supervised))

    return losses


def test_matching_stays_inside_the_class_and_picks_the_best_slot(part_criterion):
    left, right = rectangle(2, 12), rectangle(20, 30)
    masks = torch.full((1, 5, 8, 8), -8.0)
    masks[0, 1] = logits_of(right)
    masks[0, 3] = logits_of(left)
    masks[0, 0] = logits_of(left)  # a perfect mask of another class attracts nothing
    found = match(output(masks), [targets([1, 1], [left, right])], QUERY_CLASSES)
    pairs = dict(zip(found.query.tolist(), found.instance.tolist(), strict=True))
    assert pairs == {3: 0, 1: 1}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_matching_and_losses_are_float32_under_autocast(criterion, dtype):
    logits = torch.full((1, 5, S, S), -600.0)
    for query, (left, right) in enumerate([(0, 32), (0, 20), (20, 30), (3, 12), (0, 32)]):
        logits[0, query, 4:28, left:right] = 500.0
    result = output(logits)
    batch = [targets([1, 1, 0], [rectangle(2, 12), rectangle(21, 30), rectangle(0, 16)])]
    dense = [torch.randn(1, 4, 8, 8)]
    expected = match(result, batch, QUERY_CLASSES)
    assert sorted(zip(expected.query.tolist(), expected.instance.tolist(), strict=True)) == [
        *((0, 2), (2, 1), (3, 0)),
    ]
    losses = criterion(result, dense, batch)
    names = ("masks", "presence", "iou", "features")
    result = replace(result, **{name: getattr(result, name).to(dtype) for name in names})
    with torch.autocast("cpu", dtype):
        found = match(result, batch, QUERY_CLASSES)
        again = criterion(result, dense, batch)
    for name, value in vars(expected).items():
        assert torch.equal(vars(found)[name], value), name
    assert all(value.dtype is torch.float32 for value in again.values())
    assert {n: float(v) for n, v in again.items()} == pytest.approx(
        {n: float(v) for n, v in losses.items()}
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("logit", [-70.0, -1e6])
def test_a_mask_that_is_quite_wrong_is_matched(dtype, logit):
    """The sum of its logits over the part is beyond half precision."""
    whole = torch.ones(S, S, dtype=torch.bool)
    result, batch = output(torch.full((1, 5, S, S), logit)), [targets([0, 2], [whole, whole])]
    with torch.autocast("cpu", dtype):
        found = match(result, batch, QUERY_CLASSES)
    assert sorted(found.query.tolist()) == [0, 4]


def test_more_instances_than_slots_leaves_the_rest_unmatched(part_criterion):
    masks = [rectangle(0, 8), rectangle(10, 18), rectangle(20, 28)]
    found = match(output(), [targets([2, 2, 0], masks)], QUERY_CLASSES)
    assert sorted(found.query.tolist()) == [0, 4]


def test_absent_classes_are_pushed_down(criterion):
    presence = torch.zeros(1, 5, requires_grad=True)
    losses = criterion(output(presence=presence), [torch.zeros(1, 4, 8, 8)], [targets([], [])])
    losses["loss_presence"].backward()
    assert (presence.grad > 0).all()
    assert losses["loss_mask"] == 0


def test_present_class_pushes_exactly_its_matched_slot_up(criterion):
    presence = torch.zeros(1, 5, requires_grad=True)
    batch = [targets([1], [rectangle(2, 20)])]
    criterion(output(presence=presence), [torch.zeros(1, 4, 8, 8)], batch)[
        "loss_presence"
    ].backward()
    assert (presence.grad[0, 1:4] < 0).sum() == 1
    assert (presence.grad[0, [0, 4]] > 0).all()


def test_perfect_masks_cost_almost_nothing(criterion):
    mask = rectangle(4, 20)
    masks = torch.full((1, 5, 8, 8), -8.0)
    batch = [targets([0], [mask])]
    bad = criterion(output(masks), [torch.zeros(1, 4, 8, 8)], batch)
    masks[0, 0] = logits_of(mask)
    good = criterion(output(masks), [torch.zeros(1, 4, 8, 8)], batch)
    assert good["loss_dice"] < 0.25 * bad["loss_dice"]
    assert good["loss_mask"] < 0.25 * bad["loss_mask"]


def test_iou_head_learns_the_real_iou(criterion):
    mask = rectangle(4, 20)
    masks = torch.full((1, 5, 8, 8), -8.0)
    masks[0, 0] = logits_of(mask)
    result = output(masks)
    result.iou = torch.full((1, 5), 8.0)
    losses = criterion(result, [torch.zeros(1, 4, 8, 8)], [targets([0], [mask])])
    assert losses["loss_iou"] < 1e-3
    result.iou = torch.full((1, 5), -8.0)
    losses = criterion(result, [torch.zeros(1, 4, 8, 8)], [targets([0], [mask])])
    assert losses["loss_iou"] > 0.9


def test_small_parts_lie_on_large_ones_in_the_label_map():
    body, door = rectangle(0, 32), rectangle(8, 16)
    labels = targets([2, 0], [door, body]).label_map
    assert labels[10, 10] == 3
    assert labels[10, 20] == 1
    assert labels[0, 0] == 0


def drawn_in_a_loop(classes, masks, supervised):
    """The label map, instance by instance."""
    labels = torch.zeros(S, S, dtype=torch.int64)
    for index in masks.flatten(1).sum(1).argsort(descending=True).tolist():
        labels[masks[index]] = classes[index] + 1 if supervised[classes[index]] else -1
    return labels


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_label_map_and_targets_are_those_of_a_loop(count):
    generator = torch.Generator().manual_seed(count)
    instances = Instances((S, S))
    instances.gt_classes = torch.randint(4, (count,), generator=generator)
    corners = torch.randint(S, (count, 2), generator=generator)
    masks = torch.zeros(count, S, S, dtype=torch.bool)
    for mask, (row, column) in zip(masks, corners.tolist(), strict=True):
        mask[row : row + 9, column : column + 7] = True
    instances.gt_masks = BitMasks(masks)
    instances.gt_vehicle_ids = torch.arange(count)
    supervised = torch.tensor([True, True, False, True])
    found = Targets.from_instances(instances, supervised, CPU)
    kept = supervised[instances.gt_classes]
    assert torch.equal(found.label_map, drawn_in_a_loop(instances.gt_classes, masks, supervised))
    assert torch.equal(found.classes, instances.gt_classes[kept])
    assert torch.equal(found.masks, masks[kept].float())


@pytest.mark.parametrize(("photos", "parts"), [(1, 1), (1, 3), (3, 3)])
def test_annotations_and_losses_wait_for_a_gpu_once_a_batch(part_criterion, photos, parts):
    """Once for the supervised classes, once for the matcher's costs."""
    masks = [rectangle(3 * i, 3 * i + 9) for i in range(parts)]
    instances = instances_of([0, 1, 2][:parts], masks)
    batch = [{"instances": instances, "seed": seed} for seed in range(photos)]
    result = output(photos=photos)
    tensors = (result.masks, result.presence, result.iou, result.features)
    class_logits = (on_gpu(torch.zeros(photos, 4, 8, 8)),)
    result = DecoderOutput(*map(on_gpu, tensors), class_logits)
    supervised = on_gpu(torch.ones(photos, 3, dtype=torch.bool))
    with FakeGPU() as gpu:
        supervision = Supervision.of(batch, [VIEW] * photos, supervised, QUERY_CLASSES)
        losses = part_criterion(result, supervision)
    assert all(isinstance(loss, OnGPU) for loss in losses.values())
    assert gpu.waits == ["cpu", "cpu"]


def test_an_empty_batch_still_reaches_every_output(criterion):
    result = output(torch.zeros(1, 5, 8, 8, requires_grad=True))
    losses = criterion(result, [torch.zeros(1, 4, 8, 8)], [targets([], [])])
    sum(losses.values()).backward()
    assert result.masks.grad is not None


def test_losses_of_a_batch_are_the_mean_over_its_photos(part_criterion):
    generator = torch.Generator().manual_seed(1)
    batch = [
        targets([0, 1, 1], [rectangle(2, 12), rectangle(10, 20), rectangle(20, 30)]),
        targets([2], [rectangle(4, 18)]),
        targets([], []),
    ]
    batch[0].label_map[:, 8:] = -1  # outside its vocabulary
    whole = DecoderOutput(
        masks=torch.randn(3, 5, 8, 8, generator=generator),
        presence=torch.randn(3, 5, generator=generator),
        iou=torch.randn(3, 5, generator=generator),
        features=torch.zeros(3, 32, 8, 8),
        class_logits=(torch.randn(3, 4, 8, 8, generator=generator),),
    )

    def losses(chosen):
        generators = [torch.Generator().manual_seed(i) for i in chosen]
        supervised = whole.presence[chosen] > -1
        supervision = Supervision(
            [batch[i] for i in chosen], generators, [VIEW] * len(chosen), supervised
        )
        return part_criterion(whole.select(torch.tensor(chosen)), supervision)

    together = losses([0, 1, 2])
    alone = [losses([i]) for i in range(3)]
    for name, value in together.items():
        torch.testing.assert_close(value, sum(loss[name] for loss in alone) / 3, msg=name)
