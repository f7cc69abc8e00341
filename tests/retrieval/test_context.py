import pytest
import torch
from torch.nn import functional as F

from sav.retrieval import ContextEncoder, Neighbours
from sav.retrieval.context import describe_photo, usual_places, vehicle_box
from sav.retrieval.entries import LAYOUT_SIDE, describe

B, K, C, E = 2, 3, 4, 16
SIDE = 8


@pytest.fixture
def encoder():
    return ContextEncoder(dim=E, heads=2).eval()


@pytest.fixture
def run(encoder):
    """The encoder on two photos whose vehicle fills the middle."""
    prompts, embedding = torch.randn(B, C, E), torch.randn(B, E, SIDE, SIDE)
    layout = layout_of((1, 2, 7, 6))

    def encode(lent):
        return encoder(prompts, lent, embedding, layout)

    return encode


def layout_of(box):
    """Logits of photos with part 0 in a box of cells."""
    left, top, right, bottom = box
    layout = torch.zeros(B, C + 1, SIDE, SIDE)
    layout[:, 0] = 9
    layout[:, 1, top:bottom, left:right] = 18
    return layout


def neighbours(present):
    layouts = torch.randint(0, 256, (B, K, C, LAYOUT_SIDE, LAYOUT_SIDE), dtype=torch.uint8)
    return Neighbours(
        torch.randn(B, K, C + 1, E),
        torch.rand(B, K, C, 5),
        present,
        layouts * present[..., None, None],
        present.any(2),
    )


def test_no_gallery_equals_neighbours_that_show_nothing(run):
    nothing = neighbours(torch.zeros(B, K, C, dtype=torch.bool))
    for first, second in zip(run(None), run(nothing), strict=True):
        assert torch.allclose(first, second, atol=1e-6)


def test_hidden_neighbours_are_as_none(run):
    lent = neighbours(torch.ones(B, K, C, dtype=torch.bool))
    seen = run(lent)
    lent.hide(torch.tensor([True, False]))
    for first, second, without in zip(run(lent), seen, run(None), strict=True):
        assert torch.allclose(first[0], without[0], atol=1e-6)
        assert torch.allclose(first[1], second[1], atol=1e-6)
        assert not torch.allclose(first[1], without[1], atol=1e-3)


def test_a_class_hears_only_its_own_visible_exemplars(run):
    present = torch.ones(B, K, C, dtype=torch.bool)
    present[0, 1, 2] = False
    lent = neighbours(present)
    before, _ = run(lent)
    lent.prototypes[0, 1, 2] += 5  # not present: nobody may notice
    assert torch.allclose(before, run(lent)[0], atol=1e-6)
    lent.prototypes[0, 0, 2] += torch.randn(E)
    changed = (before - run(lent)[0]).abs().sum(-1) > 1e-5
    assert changed.nonzero().tolist() == [[0, 2]]


def test_geometry_counts(run):
    lent = neighbours(torch.ones(B, K, C, dtype=torch.bool))
    before, _ = run(lent)
    lent.geometry[1, :, 3] += 0.5
    changed = (before - run(lent)[0]).abs().sum(-1) > 1e-5
    assert changed.nonzero().tolist() == [[1, 3]]


def test_the_order_of_neighbours_does_not_matter(run):
    lent = neighbours(torch.rand(B, K, C) > 0.4)
    order = torch.tensor([2, 0, 1])
    shuffled = Neighbours(
        lent.prototypes[:, order],
        lent.geometry[:, order],
        lent.present[:, order],
        lent.layouts[:, order],
        lent.exists[:, order],
    )
    for first, second in zip(run(lent), run(shuffled), strict=True):
        assert torch.allclose(first, second, atol=1e-5)


def test_places_that_look_like_a_part_are_found(encoder):
    """The left half looks like part 1 of the neighbours, the right half like what is around."""
    part, around = torch.randn(E), torch.randn(E)
    embedding = torch.cat([part.expand(4, SIDE, E), around.expand(4, SIDE, E)])
    embedding = embedding.permute(2, 1, 0).expand(B, -1, -1, -1)
    present = torch.zeros(B, K, C, dtype=torch.bool)
    present[:, :, 1] = True
    lent = neighbours(present)
    lent.prototypes[:, :, 1], lent.prototypes[:, :, C] = part, around
    found = encoder._likeness(lent, embedding)
    assert (found[:, [0, 2, 3]] == 0).all()
    assert (found[:, 1, :, :4] > found[:, 1, :, 4:]).all()
    assert (found[:, 1, :, :4] > 0.5).all()


def test_neighbours_are_laid_over_the_vehicle_s_box():
    present = torch.zeros(B, K, C, dtype=torch.bool)
    present[:, 0, 2] = True
    lent = neighbours(present)
    lent.layouts[:, 0, 2, :, :] = 0
    lent.layouts[:, 0, 2, :, : LAYOUT_SIDE // 2] = 255  # part 2 is the left half of the vehicle
    found = usual_places(lent, layout_of((2, 2, 6, 6)))
    assert (found[:, 2, 2:6, 2:4] > 0.9).all()
    assert (found[:, 2, :, 5:] < 0.1).all()
    assert (found[:, 2, 7] < 0.1).all()


@pytest.mark.parametrize("box", [(0, 0, 8, 8), (2, 3, 6, 5), (5, 1, 8, 8)])
def test_the_box_is_where_the_parts_are(box):
    expected = torch.tensor(box) / SIDE
    assert torch.allclose(vehicle_box(layout_of(box)), expected.expand(B, 4), atol=0.031)


def test_a_photo_is_described_as_its_annotation_would_be():
    """Wherever in the photo the vehicle stands."""
    truth = torch.zeros(B, C, LAYOUT_SIDE, LAYOUT_SIDE)
    truth[:, 0], truth[:, 3, :, 8:] = 1, 0
    for box in ((0, 0, 8, 8), (1, 3, 7, 6)):
        seen = describe_photo(layout_of(box))
        assert F.cosine_similarity(seen, describe(truth)).min() > 0.97


def test_without_any_exemplar_gradients_are_finite(encoder, run):
    tokens, evidence = run(neighbours(torch.zeros(B, K, C, dtype=torch.bool)))
    (tokens.sum() + evidence.sum()).backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_every_parameter_is_used_without_a_gallery(encoder, run):
    tokens, evidence = run(None)
    (tokens.sum() + evidence.sum()).backward()
    assert all(p.grad is not None for p in encoder.parameters())
