from dataclasses import fields

import pytest
import torch

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.evidence import EvidenceEncoder
from sav.modeling.context.frame import lay_over
from sav.modeling.context.vehicles import PredictedVehicles

B, K, C, E, M, G = 2, 3, 4, 16, 18, 12
BOXES = torch.tensor([[0.1, 0.2, 0.8, 0.9], [-0.1, 0.0, 0.5, 0.7]])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return EvidenceEncoder(dim=E)


@pytest.fixture
def embedding():
    return torch.randn(B, E, 6, 6, generator=torch.Generator().manual_seed(1))


def vehicles(photo=(0, 1), boxes=BOXES):
    return PredictedVehicles(torch.tensor(photo), torch.zeros(len(photo), C, 2, 2), boxes)


def neighbours(present=None, exists=None, known=None):
    draw = torch.Generator().manual_seed(2)
    present = torch.ones(B, K, C, dtype=torch.bool) if present is None else present
    exists = torch.ones(B, K, dtype=torch.bool) if exists is None else exists
    known = torch.ones(B, K, C, dtype=torch.bool) if known is None else known
    return Neighbours(
        prototypes=torch.randn(B, K, C + 1, E, generator=draw),
        layouts=torch.rand(B, K, C, M, M, generator=draw),
        predicted_layouts=torch.rand(B, K, C, M, M, generator=draw),
        present=present & known & exists[..., None],
        known=known & exists[..., None],
        similarity=torch.tensor([[0.9, 0.5, 0.3], [0.8, 0.7, 0.6]]),
        exists=exists,
    )


def none_found(count=1):
    near = Neighbours.none(B, C, E, M, torch.device("cpu"))
    values = {field.name: getattr(near, field.name) for field in fields(near)}
    return Neighbours(**{name: torch.cat([value] * count, 1) for name, value in values.items()})


def tensors(evidence):
    return {field.name: getattr(evidence, field.name) for field in fields(evidence)}


def assert_same(first, second, atol=1e-5):
    for name, value in tensors(first).items():
        torch.testing.assert_close(value, tensors(second)[name], atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("count", [1, 5, 32])
def test_without_neighbours_evidence_is_zero_and_gradients_are_finite(encoder, embedding, count):
    evidence = encoder(none_found(count), embedding, vehicles(), G)
    assert all((value == 0).all() for value in tensors(evidence).values())
    sum(value.float().sum() for value in tensors(evidence).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_neighbours_that_are_not_there_count_for_nothing(encoder, embedding):
    exists = torch.tensor([[True, True, False], [True, False, False]])
    near = neighbours(exists=exists)
    before = encoder(near, embedding, vehicles(), G)
    gone = ~exists
    for value in (
        near.prototypes,
        near.layouts,
        near.predicted_layouts,
    ):
        value[gone] += 1.0
    near.similarity[gone] = -1.0
    assert_same(before, encoder(near, embedding, vehicles(), G))


def test_a_photo_hears_only_its_own_neighbours(encoder, embedding):
    exists = torch.tensor([[True] * 3, [False] * 3])
    alone = encoder(neighbours(exists=exists), embedding, vehicles(), G)
    both = encoder(neighbours(), embedding, vehicles(), G)
    for name, value in tensors(alone).items():
        assert torch.allclose(value[0].float(), tensors(both)[name][0].float(), atol=1e-5)
        assert (value[1] == 0).all()
        assert (tensors(both)[name][1] != 0).any()


def test_the_order_of_neighbours_does_not_matter(encoder, embedding):
    present = torch.rand(B, K, C, generator=torch.Generator().manual_seed(3)) > 0.4
    near = neighbours(present, torch.tensor([[True] * 3, [True, True, False]]))
    order = torch.tensor([2, 0, 1])
    shuffled = Neighbours(**{f.name: getattr(near, f.name)[:, order] for f in fields(near)})
    before = encoder(near, embedding, vehicles(), G)
    assert_same(before, encoder(shuffled, embedding, vehicles(), G))


def test_a_class_that_no_neighbour_shows_is_nowhere(encoder, embedding):
    present = torch.ones(B, K, C, dtype=torch.bool)
    present[..., 1] = False
    near = neighbours(present)
    near.layouts[:, :, 1] = near.predicted_layouts[:, :, 1] = 0
    evidence = encoder(near, embedding, vehicles(), G)
    assert all(value.isfinite().all() for value in tensors(evidence).values())
    for value in (evidence.layout, evidence.error, evidence.appearance, evidence.visibility):
        assert (value[:, 1] == 0).all()
        assert (value[:, 0] != 0).any()


def test_one_neighbours_layout_is_laid_over_the_vehicle(encoder, embedding):
    near = neighbours(exists=torch.tensor([[True, False, False]] * B))
    evidence = encoder(near, embedding, vehicles(), G)
    layouts, predicted = near.layouts[:, 0], near.predicted_layouts[:, 0]
    assert torch.allclose(evidence.layout, lay_over(layouts, BOXES, G), atol=1e-6)
    assert torch.allclose(evidence.error, lay_over(layouts - predicted, BOXES, G), atol=1e-6)
    assert torch.allclose(evidence.similarity, torch.tensor([0.9, 0.8]))
    assert (evidence.visibility == 1).all()


def test_the_more_similar_counts_more(encoder, embedding):
    present = torch.zeros(B, K, C, dtype=torch.bool)
    for index in range(K):
        present[:, index, index] = True  # a class of its own for each neighbour
    seen = encoder(neighbours(present), embedding, vehicles(), G).visibility
    assert (seen[:, 0] > seen[:, 1]).all()
    assert (seen[:, 1] > seen[:, 2]).all()
    assert torch.allclose(seen.sum(1), torch.ones(B))


def test_places_that_look_like_a_part_are_found(encoder):
    near = neighbours()
    near.prototypes[:] = near.prototypes[:, :1]
    embedding = near.prototypes[:, 0, C, :, None, None].repeat(1, 1, 6, 6)  # surroundings
    embedding[..., :3] = near.prototypes[:, 0, 2, :, None, None]
    alike = encoder(near, embedding, vehicles(), G).appearance
    assert (alike[:, 2, :, :5] > 0.9).all()
    assert (alike[..., 7:] < 0.1).all()
    assert (alike.sum(1) < 1 + 1e-5).all()


def test_what_is_compared_can_be_learned(encoder, embedding):
    evidence = encoder(neighbours(), embedding, vehicles(), G)
    (evidence.appearance[:, 0].sum() + evidence.layout[:, 0].sum()).backward()
    assert all((p.grad != 0).any() for p in encoder.parameters())


def test_what_a_neighbour_does_not_know_it_neither_shows_nor_denies(encoder, embedding):
    known = torch.ones(B, K, C, dtype=torch.bool)
    known[:, 0, 1] = False
    known[:, :, 2] = False
    near = neighbours(known=known)
    evidence = encoder(near, embedding, vehicles(), G)
    others = neighbours(exists=torch.tensor([[False, True, True]] * B))
    without = encoder(others, embedding, vehicles(), G)
    assert torch.allclose(evidence.layout[:, 1], without.layout[:, 1], atol=1e-5)
    assert torch.allclose(evidence.error[:, 1], without.error[:, 1], atol=1e-5)
    shown = evidence.visibility[:, 1]
    assert torch.allclose(shown, torch.ones(B), atol=1e-5)  # all that know it show it
    assert not torch.allclose(evidence.layout[:, 0], without.layout[:, 0], atol=1e-3)
    assert evidence.known.tolist() == [[True, True, False, True]] * B
    for value in (evidence.layout, evidence.error, evidence.appearance, evidence.visibility):
        assert (value[:, 2] == 0).all()


def test_vehicles_of_one_photo_are_laid_side_by_side(encoder, embedding):
    """Two vehicles in the second photo: each with its own neighbours, in its own place."""
    left, right = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    boxes = torch.stack([torch.tensor([0.1, 0.2, 0.8, 0.9]), left, right])
    single = [neighbours(exists=torch.tensor([[True] * K, [i == 0] * K])) for i in range(2)]
    first, second = single
    near = Neighbours(
        **{
            f.name: torch.stack(
                [getattr(first, f.name)[0], getattr(first, f.name)[1], getattr(first, f.name)[0]]
            )
            for f in fields(first)
        }
    )
    near.known[2, :, 3] = near.present[2, :, 3] = False
    near.layouts[2, :, 3] = near.predicted_layouts[2, :, 3] = 0
    both = encoder(near, embedding, vehicles((0, 1, 1), boxes), G)
    alone = encoder(second, embedding, vehicles((0, 1), boxes[:2]), G)
    assert_same_rows(both, alone, 0)
    half = G // 2
    assert torch.allclose(
        both.layout[1, :, :, :half],
        encoder(first, embedding, vehicles((0, 1), boxes[:2]), G).layout[1, :, :, :half],
    )
    assert (both.layout[1, :3, :, half:] > 0).any()
    assert (both.layout[1, 3, :, half:] == 0).all()
    assert both.known[1].all()
    assert both.similarity.tolist() == pytest.approx([0.9, 0.9])


def assert_same_rows(first, second, row):
    for name, value in tensors(first).items():
        assert torch.allclose(value[row].float(), tensors(second)[name][row].float(), atol=1e-6)
