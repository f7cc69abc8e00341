import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from sav.modeling.grouping import VehicleKinds
from sav.modeling.original_frame import Frame, enlarge, mask_boxes
from sav.modeling.postprocess import (
    draw_labels,
    drop_specks,
    label_map,
    part_probabilities,
    to_instances,
)


def enlarge_whole(maps, frame):
    """(N, height, width), all that :func:`enlarge` gives where everything matters."""
    whole = torch.full((len(maps), *frame.original), torch.nan)
    for piece in enlarge(maps, -torch.inf, frame):
        piece.within(whole[piece.row]).copy_(piece.values)
    return whole


def test_original_frame_undoes_the_letterbox():
    # An 80 x 40 photo on a 64 canvas: its 32 upper rows. A stripe at x in [20, 40) of the photo.
    logits = torch.full((1, 16, 16), -5.0)
    logits[0, :, 4:8] = 5.0
    mask = enlarge_whole(logits, Frame((40, 80), (32, 64), 64))[0] > 0
    assert mask.shape == (40, 80)
    assert mask[:, 20:40].all()
    assert mask.sum() == 40 * 20


AWKWARD = [
    Frame((61, 97), (40, 64), 64),
    Frame((97, 61), (40, 64)[::-1], 64),
    Frame((31, 29), (64, 60), 64),
    Frame((333, 500), (43, 64), 64),
]
"""Photos whose sides are no whole multiples of those on the canvas, nor these of the logits'."""


def enlarge_by_sampling(logits, frame):
    """(N, height, width): what the logits, over the canvas, are at the middle of each pixel."""
    axes = [
        (torch.arange(side, dtype=torch.float64) + 0.5) / side * resized / frame.canvas * 2 - 1
        for side, resized in zip(frame.original, frame.resized, strict=True)
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)[None]
    options = {"mode": "bilinear", "align_corners": False, "padding_mode": "border"}
    return F.grid_sample(logits[None].double(), grid, **options)[0]


@pytest.mark.parametrize("frame", AWKWARD)
def test_masks_of_awkward_photos_are_the_logits_at_their_pixels(frame):
    logits = F.avg_pool2d(torch.randn(6, 20, 20), 5, stride=1)
    classes = torch.arange(6)
    found = to_instances(
        logits, torch.linspace(0.9, 0.5, 6), classes, kinds=VehicleKinds(), frame=frame
    )
    expected = enlarge_by_sampling(logits, frame)
    visible = (expected > 0).flatten(1).any(1)
    masks = [drop_specks(mask.numpy().view(np.uint8))[0] for mask in expected[visible] > 0]
    masks = torch.from_numpy(np.stack(masks)).bool()
    boxes = mask_boxes(masks)
    assert found.pred_classes.tolist() == classes[visible].tolist()
    assert ((found.pred_masks != masks) & (expected[visible].abs() > 1e-3)).sum() == 0
    assert (found.pred_boxes.tensor - boxes).abs().max() <= 1
    assert 0.2 < masks.float().mean() < 0.8


@pytest.mark.parametrize("frame", AWKWARD)
def test_label_map_of_awkward_photos_is_the_best_class_at_each_pixel(frame):
    logits = 4 * F.avg_pool2d(torch.randn(5, 20, 20), 5, stride=1)
    presence, classes = torch.tensor([0.9, 0.8, 0.9, 0.7, 0.9]), torch.tensor([0, 1, 1, 3, 4])
    labels = label_map(logits, presence, classes, background=0.6, frame=frame)
    likely = part_probabilities(logits[None], presence[None], classes, 5)[0]
    sizes = (likely * (likely > 0.6)).sum((1, 2))
    odds = enlarge_by_sampling(torch.logit(likely, eps=1e-6), frame)
    rank = odds.clamp(max=1.0) - 0.5 * sizes.log1p()[:, None, None]
    best, second = rank.masked_fill(odds.sigmoid() <= 0.6, -100.0).topk(2, dim=0).values
    shown = (odds.sigmoid() > 0.6).any(0)
    expected = torch.where(shown, rank.masked_fill(odds.sigmoid() <= 0.6, -100.0).argmax(0) + 1, 0)
    clear = (best - second > 1e-3) & ((odds.sigmoid() - 0.6).abs().amin(0) > 1e-3)
    clear |= ~shown & (odds.sigmoid() < 0.599).all(0)
    assert labels.shape == frame.original
    assert torch.equal(labels[clear].long(), expected[clear])
    assert labels.unique().tolist() == [0, 1, 2, 4, 5]
    assert clear.float().mean() > 0.95


@pytest.mark.parametrize(("canvas", "side"), [(224, 61), (224, 115), (392, 1)])
def test_sides_that_rounding_would_shorten_are_whole(canvas, side):
    """In floats, cells * (side / cells) is less than the side."""
    frame = Frame((side, side), (canvas, canvas), canvas)
    maps = torch.randn(2, canvas // 4, canvas // 4)
    expected = enlarge_by_sampling(maps, frame).float()
    torch.testing.assert_close(enlarge_whole(maps, frame), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("original", "resized"),
    [((2985, 4000), (764, 1024)), ((427, 640), (683, 1024)), ((37, 1001), (38, 1024))],
)
def test_every_pixel_is_read_where_the_resized_photo_shows_it(official, original, resized):
    """Logits that tell their own place, on canvases that the rounding of sizes does not hide.

    Segment-anything says the same, which enlarges the logits to the canvas first.
    """
    cells = torch.arange(256) + 0.5
    rows, columns = cells[:, None].expand(256, 256), cells[None].expand(256, 256)
    frame = Frame(original, resized, 1024)
    places = torch.stack([rows, columns])
    read = enlarge_whole(places, frame)
    assert read.shape[1:] == original
    theirs = official[0].postprocess_masks(places[None], resized, original)[0]
    assert ((read - theirs).abs() < 2e-3).float().mean() > 0.97  # all but the photo's borders
    for axis, side in enumerate(original):
        place = (torch.arange(side) + 0.5) * resized[axis] / side / 4
        found = read[axis].T[0] if axis == 0 else read[axis][0]
        inside = (place > 0.5) & (place < 255.5)
        assert (found - place)[inside].abs().max() < 2e-3


def test_the_frame_has_the_size_that_the_photo_has_on_the_canvas():
    item = {"image": torch.zeros(3, 764, 1024), "height": 2985, "width": 4000}
    assert Frame.of(item, 1024) == Frame((2985, 4000), (764, 1024), 1024)


@pytest.mark.parametrize("frame", [*AWKWARD, Frame((9, 12), (64, 64), 64)])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_all_above_the_threshold_lies_in_the_pieces(frame, threshold):
    """Blobs of all sizes, at the borders too; the last photo is smaller than the maps."""
    maps = F.interpolate(torch.randn(30, 1, 5, 5), (16, 16), mode="bicubic")[:, 0] - 1
    expected = enlarge_by_sampling(maps, frame)
    found = torch.full(expected.shape, -torch.inf)
    pixels = 0
    for piece in enlarge(maps, threshold, frame):
        piece.within(found[piece.row]).copy_(piece.values)
        pixels += piece.values.numel()
    above = expected > threshold + 1e-3
    assert torch.allclose(found[above], expected[above].float(), atol=1e-4)
    assert (found > threshold)[expected < threshold - 1e-3].sum() == 0
    assert above.sum() > 0
    assert pixels < 0.9 * expected.numel()


def test_boxes_are_tight_and_exclusive_at_the_end():
    masks = torch.zeros(1, 20, 30, dtype=torch.bool)
    masks[0, 3:8, 10:21] = True
    assert mask_boxes(masks).tolist() == [[10, 3, 21, 8]]


def test_instances_come_best_first_without_empty_masks():
    logits = torch.full((3, 8, 8), -5.0)
    logits[0, :4] = 5
    logits[2, 4:] = 5
    found = to_instances(
        logits,
        torch.tensor([0.2, 0.9, 0.6]),
        torch.tensor([4, 5, 6]),
        kinds=VehicleKinds(),
        frame=Frame((16, 16), (16, 16), 16),
    )
    assert found.pred_classes.tolist() == [6, 4]
    assert found.pred_masks.dtype == torch.bool
    assert found.pred_boxes.tensor.tolist() == [[0, 8, 16, 16], [0, 0, 16, 8]]


def test_no_instance_at_all_is_well_formed():
    found = to_instances(
        torch.zeros(0, 8, 8),
        torch.zeros(0),
        torch.zeros(0, dtype=torch.int64),
        kinds=VehicleKinds(bodies=(0,)),
        frame=Frame((10, 12), (10, 12), 12),
    )
    assert len(found) == 0
    assert found.pred_masks.shape == (0, 10, 12)
    assert found.pred_boxes.tensor.shape == (0, 4)
    assert found.vehicle_ids.shape == (0,)


def read_masks(*masks):
    """The instances of masks (H, W) whose logits have the photo's resolution."""
    logits = torch.stack([torch.as_tensor(mask) for mask in masks]).float() * 10 - 5
    height, width = logits.shape[1:]
    count, side = len(masks), max(height, width)
    logits = F.pad(logits, (0, side - width, 0, side - height), value=-5)
    frame = Frame((height, width), (height, width), side)
    return to_instances(
        logits,
        torch.linspace(0.9, 0.5, count),
        torch.arange(count),
        kinds=VehicleKinds(),
        frame=frame,
    )


def test_specks_are_left_out_and_do_not_widen_the_box():
    part = torch.zeros(40, 61, dtype=torch.bool)
    part[10:20, 10:30] = True
    speckled = part.clone()
    speckled[0, 0] = speckled[39, 60] = True
    speckled[30, 50:53] = True  # 3 pixels, where a fiftieth of the part is 4
    found = read_masks(speckled, part)
    assert torch.equal(found.pred_masks, torch.stack([part, part]))
    assert found.pred_boxes.tensor.tolist() == [[10, 10, 30, 20]] * 2


@pytest.mark.parametrize("size", [(2, 2), (4, 5), (10, 11)])
def test_a_part_in_two_large_pieces_keeps_both(size):
    height, width = size
    part = torch.zeros(40, 61, dtype=torch.bool)
    part[10:20, 10:30] = True
    part[25 : 25 + height, 44 : 44 + width] = True  # the smallest is just a fiftieth
    speckled = part.clone()
    speckled[0, 0] = True
    found = read_masks(speckled)
    assert torch.equal(found.pred_masks[0], part)
    assert found.pred_boxes.tensor.tolist() == [[10, 10, 44 + width, 25 + height]]


def test_pieces_that_touch_at_a_corner_are_one():
    part = torch.zeros(40, 61, dtype=torch.bool)
    part[10:20, 10:30] = True
    part[20, 30] = True
    assert torch.equal(read_masks(part).pred_masks[0], part)


def test_specks_are_those_of_a_search_of_every_piece():
    """Random blobs on awkward sizes, against scipy's components one by one."""
    generator = torch.Generator().manual_seed(0)
    blobs = F.interpolate(torch.randn(20, 1, 9, 13, generator=generator), (53, 87), mode="bicubic")
    masks = blobs[:, 0] > 0.7
    masks = masks[masks.flatten(1).any(1)]
    kept, boxes = zip(*(drop_specks(mask.numpy().view(np.uint8)) for mask in masks), strict=True)
    expected = np.zeros(masks.shape, bool)
    for index, mask in enumerate(masks.numpy()):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        pieces = [labels == piece for piece in range(1, count + 1)]
        largest = max(piece.sum() for piece in pieces)
        expected[index] = np.any([p for p in pieces if 50 * p.sum() >= largest], axis=0)
    expected = torch.from_numpy(expected)
    assert (expected != masks).flatten(1).any(1).sum() >= 5
    assert np.array_equal(np.stack(kept), expected)
    assert torch.equal(torch.stack(boxes), mask_boxes(expected))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_reads_the_same_instances():
    logits = F.interpolate(torch.randn(6, 1, 5, 5), (16, 16), mode="bicubic")[:, 0]
    scores, classes = torch.linspace(0.9, 0.5, 6), torch.arange(6)
    options = {"kinds": VehicleKinds(), "frame": AWKWARD[0]}
    here = to_instances(logits, scores, classes, **options)
    there = to_instances(logits.cuda(), scores.cuda(), classes.cuda(), **options)
    assert there.pred_masks.is_cuda
    assert there.pred_boxes.tensor.is_cuda
    assert (there.pred_masks.cpu() != here.pred_masks).float().mean() < 1e-3
    assert torch.equal(there.pred_classes.cpu(), here.pred_classes)


def test_label_map_is_a_noisy_or_of_the_slots():
    logits = torch.full((3, 4, 4), 9.0)
    classes = torch.tensor([0, 1, 1])
    options = {"background": 0.3, "frame": Frame((4, 4), (4, 4), 4)}
    # Two weak slots of class 1 together beat one stronger slot of class 0.
    weak = label_map(logits, torch.tensor([0.5, 0.4, 0.4]), classes, **options)
    assert (weak == 2).all()
    one = label_map(logits, torch.tensor([0.5, 0.4, 0.0]), classes, **options)
    assert (one == 1).all()
    none = label_map(logits, torch.tensor([0.2, 0.1, 0.1]), classes, **options)
    assert (none == 0).all()


def draw_on_a_door(small: float, large: float = 0.99):
    """A small part's probability in 4 of the 144 cells of a large one."""
    likely = torch.full((2, 16, 16), 0.001)
    likely[0, 2:14, 2:14] = large
    likely[1, 7:9, 7:9] = small
    return draw_labels(likely, 0.4, Frame((16, 16), (16, 16), 16))


def test_small_parts_lie_over_large_ones():
    """As annotators draw them: a door goes on below its mirror."""
    labels = draw_on_a_door(small=0.8)
    assert (labels == 2).sum() == 4
    assert (labels == 1).sum() == 140


def test_a_part_that_is_not_likely_enough_lies_over_none():
    labels = draw_on_a_door(small=0.39)
    assert not (labels == 2).any()
    assert (labels == 1).sum() == 144


def test_borders_of_the_label_map_are_those_of_the_masks():
    """Between two cells logits are interpolated, as training does, not probabilities."""
    frame = Frame((64, 64), (16, 16), 16)
    logits = torch.full((1, 16, 16), -8.0)
    logits[0, 4:12, 4:12] = 2.0
    labels = label_map(logits, torch.ones(1), torch.zeros(1).long(), background=0.5, frame=frame)
    (piece,) = enlarge(logits, 0.0, frame)
    expected = torch.zeros(64, 64, dtype=torch.bool)
    expected[piece.place] = piece.values > 0
    assert torch.equal(labels == 1, expected)
