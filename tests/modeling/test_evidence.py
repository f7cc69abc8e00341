from dataclasses import fields

import pytest
import torch

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.evidence import EvidenceEncoder
from sav.modeling.context.frame import lay_over

B, K, C, E, M, G = 2, 3, 4, 16, 18, 12
BOXES = torch.tensor([[0.1, 0.2, 0.8, 0.9], [-0.1, 0.0, 0.5, 0.7]])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return EvidenceEncoder(dim=E)


@pytest.fixture
def embedding():
    return torch.randn(B, E, 6, 6, generator=torch.Generator().manual_seed(1))


def neighbours(present=None, exists=None):
    draw = torch.Generator().manual_seed(2)
    present = torch.ones(B, K, C, dtype=torch.bool) if present is None else present
    exists = torch.ones(B, K, dtype=torch.bool) if exists is None else exists
    return Neighbours(
        prototypes=torch.randn(B, K, C + 1, E, generator=draw),
        layouts=torch.rand(B, K, C, M, M, generator=draw),
        predicted_layouts=torch.rand(B, K, C, M, M, generator=draw),
        present=present & exists[..., None],
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
    evidence = encoder(none_found(count), embedding, BOXES, G)
    assert all((value == 0).all() for value in tensors(evidence).values())
    sum(value.float().sum() for value in tensors(evidence).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


def test_neighbours_that_are_not_there_count_for_nothing(encoder, embedding):
    exists = torch.tensor([[True, True, False], [True, False, False]])
    near = neighbours(exists=exists)
    before = encoder(near, embedding, BOXES, G)
    gone = ~exists
    for value in (
        near.prototypes,
        near.layouts,
        near.predicted_layouts,
    ):
        value[gone] += 1.0
    near.similarity[gone] = -1.0
    assert_same(before, encoder(near, embedding, BOXES, G))


def test_a_photo_hears_only_its_own_neighbours(encoder, embedding):
    exists = torch.tensor([[True] * 3, [False] * 3])
    alone = encoder(neighbours(exists=exists), embedding, BOXES, G)
    both = encoder(neighbours(), embedding, BOXES, G)
    for name, value in tensors(alone).items():
        assert torch.allclose(value[0].float(), tensors(both)[name][0].float(), atol=1e-5)
        assert (value[1] == 0).all()
        assert (tensors(both)[name][1] != 0).any()


def test_the_order_of_neighbours_does_not_matter(encoder, embedding):
    present = torch.rand(B, K, C, generator=torch.Generator().manual_seed(3)) > 0.4
    near = neighbours(present, torch.tensor([[True] * 3, [True, True, False]]))
    order = torch.tensor([2, 0, 1])
    shuffled = Neighbours(**{f.name: getattr(near, f.name)[:, order] for f in fields(near)})
    before = encoder(near, embedding, BOXES, G)
    assert_same(before, encoder(shuffled, embedding, BOXES, G))


def test_a_class_that_no_neighbour_shows_is_nowhere(encoder, embedding):
    present = torch.ones(B, K, C, dtype=torch.bool)
    present[..., 1] = False
    near = neighbours(present)
    near.layouts[:, :, 1] = near.predicted_layouts[:, :, 1] = 0
    evidence = encoder(near, embedding, BOXES, G)
    assert all(value.isfinite().all() for value in tensors(evidence).values())
    for value in (evidence.layout, evidence.error, evidence.appearance, evidence.visibility):
        assert (value[:, 1] == 0).all()
        assert (value[:, 0] != 0).any()


def test_one_neighbours_layout_is_laid_over_the_vehicle(encoder, embedding):
    near = neighbours(exists=torch.tensor([[True, False, False]] * B))
    evidence = encoder(near, embedding, BOXES, G)
    layouts, predicted = near.layouts[:, 0], near.predicted_layouts[:, 0]
    assert torch.allclose(evidence.layout, lay_over(layouts, BOXES, G), atol=1e-6)
    assert torch.allclose(evidence.error, lay_over(layouts - predicted, BOXES, G), atol=1e-6)
    assert torch.allclose(evidence.similarity, torch.tensor([0.9, 0.8]))
    assert (evidence.visibility == 1).all()


def test_the_more_similar_counts_more(encoder, embedding):
    present = torch.zeros(B, K, C, dtype=torch.bool)
    for index in range(K):
        present[:, index, index] = True  # a class of its own for each neighbour
    seen = encoder(neighbours(present), embedding, BOXES, G).visibility
    assert (seen[:, 0] > seen[:, 1]).all()
    assert (seen[:, 1] > seen[:, 2]).all()
    assert torch.allclose(seen.sum(1), torch.ones(B))


def test_places_that_look_like_a_part_are_found(encoder):
    near = neighbours()
    near.prototypes[:] = near.prototypes[:, :1]
    embedding = near.prototypes[:, 0, C, :, None, None].repeat(1, 1, 6, 6)  # surroundings
    embedding[..., :3] = near.prototypes[:, 0, 2, :, None, None]
    alike = encoder(near, embedding, BOXES, G).appearance
    assert (alike[:, 2, :, :5] > 0.9).all()
    assert (alike[..., 7:] < 0.1).all()
    assert (alike.sum(1) < 1 + 1e-5).all()


def test_what_is_compared_can_be_learned(encoder, embedding):
    evidence = encoder(neighbours(), embedding, BOXES, G)
    (evidence.appearance[:, 0].sum() + evidence.layout[:, 0].sum()).backward()
    assert all((p.grad != 0).any() for p in encoder.parameters())
