"""With flip averaging a photo and its mirror image are predicted as each other's mirror image."""

import pytest
import torch

from sav.d2 import build_model
from sav.data.crops import PhotoCrops
from sav.data.letterbox import Letterbox
from sav.modeling.flips import Flips, mirror_back
from sav.modeling.original_frame import Frame
from sav.modeling.sam.decoder import DecoderOutput

CLASSES = torch.tensor([0, 1, 2, 2, 2])  # of the queries: left, right, and three wheels
MIRROR = [1, 0, 2]


@pytest.fixture
def build(cfg, make_input):
    """Builds a model, with or without flips, of random weights that knows three vehicles."""

    def make(*options):
        cfg.merge_from_list(["MODEL.SAV.TEST.SCORE_THRESHOLD", 0.0, *options])
        cfg.MODEL.SAV.TEST.BACKGROUND = 0.05
        torch.manual_seed(0)
        model = build_model(cfg)
        with torch.no_grad():
            model.decoder.mask_bias.zero_()  # so that masks are not empty
            model.decoder.presence.layers[-1].bias.fill_(2.0)
            for layer in (model.context.corrector.masks, model.context.corrector.scores):
                torch.nn.init.normal_(layer.weight, std=0.3)
        model([make_input(f"car/{i}", seed=i) for i in range(3)])
        assert len(model.context.gallery) == 3
        return model.eval()

    return make


@pytest.fixture
def predict(make_input):
    """Predicts a photo of this size on the canvas, or its mirror image, as a label map and parts.

    What is said of the mirror image is turned back, parts are in the order of class and score.
    """

    def ask(model, height, width, mirrored=False):
        photo = make_input("new", seed=7, height=height, width=width)
        if mirrored:
            photo["image"] = photo["image"].flip(-1)
        with torch.no_grad():
            (found,) = model([photo])
        parts, labels = found["instances"], found["part_map"].long()
        classes, masks = parts.pred_classes, parts.pred_masks
        if mirrored:
            ids = torch.tensor(model.ontology.mirror_ids)
            classes, masks = ids[classes], masks.flip(-1)
            labels = torch.cat([torch.zeros(1).long(), ids + 1])[labels.flip(-1)]
        order = (10 * classes - parts.scores).argsort()
        return labels, classes[order], parts.scores[order], masks[order]

    return ask


def random_output():
    g = torch.Generator().manual_seed(1)
    masks, scores = (3 * torch.randn(2, len(CLASSES), *s, generator=g) for s in ((16, 16), (2,)))
    return DecoderOutput(masks, *scores.unbind(-1), torch.zeros(2, 32, 16, 16))


def flips():
    return Flips(enabled=True, query_classes=CLASSES, mirror_ids=MIRROR).eval()


def mean(first, second, width=16):
    """What flips say of a photo and its mirror image, of that width on a canvas of 16."""
    rows = zip(vars(first).values(), vars(second).values(), strict=True)
    both = DecoderOutput(*(torch.cat(row) for row in rows if row[0] != ()))
    return flips().mean(both, [Frame((16, width), (16, width), 16)])


@pytest.mark.parametrize(("height", "width"), [(64, 64), (47, 64)])
def test_a_photo_and_its_mirror_image_are_predicted_alike(build, predict, height, width):
    model = build("TEST.AUG.ENABLED", True)
    labels, classes, scores, masks = predict(model, height, width)
    again = predict(model, height, width, mirrored=True)
    assert labels.unique().numel() > 3
    assert torch.equal(classes, again[1])
    torch.testing.assert_close(scores, again[2])
    assert (labels != again[0]).float().mean() < 1e-3  # an even choice may go either way
    assert (masks != again[3]).float().mean() < 1e-3


def test_without_flips_they_are_not(build, predict):
    model = build()
    labels, _, scores, _ = predict(model, 64, 64)
    again = predict(model, 64, 64, mirrored=True)
    assert (labels != again[0]).float().mean() > 0.1
    assert not torch.allclose(scores, again[2], rtol=1e-2)


def test_a_photo_that_ends_within_a_cell_has_the_scores_of_its_mirror_image(build, predict):
    model = build("TEST.AUG.ENABLED", True, "MODEL.SAV.MAX_SLOTS", 1)
    _, classes, scores, _ = predict(model, 64, 47)
    again = predict(model, 64, 47, mirrored=True)
    assert len(classes) > 10
    assert torch.equal(classes, again[1])
    # Interpolation between two cells keeps the sums of soft IoU nearly, not exactly.
    torch.testing.assert_close(scores, again[2], atol=2e-3, rtol=0)


@pytest.mark.parametrize("width", [16, 12, 9])
def test_what_both_say_is_the_same_in_either_order(width):
    photo, mirrored = random_output().split()
    straight, turned = mean(photo, mirrored, width), mean(mirrored, photo, width)
    frame = Frame((16, width), (16, width), 16)
    torch.testing.assert_close(mirror_back(turned.masks, [frame])[:, [1, 0]], straight.masks[:, :2])
    assert torch.equal(turned.presence[:, [1, 0]], straight.presence[:, :2])
    for name in ("presence", "iou"):
        one, other = (getattr(output, name)[:, 2:].sort()[0] for output in (straight, turned))
        assert torch.equal(one, other)  # of the wheels, in any order


@pytest.mark.parametrize("width", [100, 50, 49, 27, 26, 25, 3])
def test_mirrored_maps_come_to_lie_where_the_photo_shows_the_same(width):
    """A slope is what interpolation keeps: of 25 cells on a canvas of 100 pixels."""
    x = 4 * (torch.arange(25) + 0.5)  # pixels of the canvas, at the middle of each cell
    mirrored = torch.where(x < width, width - x, -7.0).expand(1, 2, 3, 25)
    if width % 4:  # a cell that the photo's side cuts goes on as the photo ends
        cut = width // 4
        mirrored = mirrored.clone()
        mirrored[..., cut] = width - x[cut]
    back = mirror_back(mirrored, [Frame((200, 2 * width), (100, width), 100)])
    inside = (x <= width - 2) & (x >= 2)
    torch.testing.assert_close(back[0, 0, 0][inside], x[inside])
    assert (back[..., x > width + 2] == -7).all()


def test_slots_are_averaged_with_those_that_show_the_same_wheel():
    photo = random_output().split()[0]
    photo.masks[:] = -5.0
    photo.masks[0, 2, :, :4] = photo.masks[0, 3, :, 10:13] = 5.0
    photo.presence[:] = torch.tensor([-4.0, -4.0, 4.0, 3.0, -4.0])
    swapped = photo.select(slice(None))
    order = [1, 0, 4, 2, 3]
    swapped.masks = photo.masks[:, order].flip(-1)
    swapped.presence = photo.presence[:, order]
    swapped.iou = photo.iou[:, order]
    for name, value in vars(mean(photo, swapped)).items():
        if name in ("masks", "presence", "iou"):
            torch.testing.assert_close(value[:, 2:], getattr(photo, name)[:, 2:])


def test_a_slot_that_finds_nothing_is_no_partner_whatever_its_mask():
    photo = random_output().split()[0]
    photo.presence[:] = torch.tensor([-4.0, -4.0, 4.0, -4.0, -4.0])
    mirrored = photo.select(slice(None))
    photo.masks = torch.tensor([-5.0, -5.0, 1.0, 5.0, 5.0])[:, None, None].expand(1, 5, 16, 16)
    mirrored.masks = photo.masks[:, [0, 1, 3, 2, 4]]
    torch.testing.assert_close(mean(photo, mirrored).presence, photo.presence)


def test_each_photo_of_a_batch_is_turned_by_its_own_width():
    maps = torch.arange(4.0).expand(2, 1, 1, 4)
    back = mirror_back(maps, [Frame((8, 4), (8, 4), 8), Frame((8, 8), (8, 8), 8)])
    assert back[:, 0, 0].tolist() == [[1, 0, 2, 3], [3, 2, 1, 0]]


def test_switched_off_or_in_training_everything_is_as_it_was(cfg, make_input):
    batch, output = [make_input()], random_output()
    off = build_model(cfg).eval().flips
    assert off.with_mirror_images(batch) is batch
    assert off.mean(output, []) is output
    cfg.TEST.AUG.ENABLED = True
    assert build_model(cfg).train().flips.with_mirror_images(batch) is batch
    assert len(build_model(cfg).eval().flips.with_mirror_images(batch)) == 2
    cfg.TEST.AUG.FLIP = False
    assert build_model(cfg).eval().flips.with_mirror_images(batch) is batch


def test_crops_are_seen_in_the_mirror_too(build, make_input):
    model = build("TEST.AUG.ENABLED", True, "MODEL.SAV.TEST.CROPS", 1.5)
    item = make_input()
    image = item["image"].permute(1, 2, 0).numpy()
    sizes = []
    encode = model.encode
    model.encode = lambda items: (sizes.append(len(items)), encode(items))[1]
    with torch.no_grad():
        model([{**item, "height": 64, "width": 64, "crop": PhotoCrops(image, Letterbox(64))}])
    assert len(sizes) > 1
    assert all(size % 2 == 0 for size in sizes)
