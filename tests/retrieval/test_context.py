import pytest
import torch

from sav.retrieval import ContextEncoder, Neighbours

B, K, C, E = 2, 3, 4, 16


@pytest.fixture
def encoder():
    return ContextEncoder(dim=E, heads=2).eval()


@pytest.fixture
def prompts():
    return torch.randn(B, C, E)


def neighbours(present):
    return Neighbours(torch.randn(B, K, C, E), torch.rand(B, K, C, 5), present)


def test_no_gallery_equals_neighbours_that_show_nothing(encoder, prompts):
    nothing = neighbours(torch.zeros(B, K, C, dtype=torch.bool))
    assert torch.allclose(encoder(prompts, None), encoder(prompts, nothing), atol=1e-6)


def test_a_class_hears_only_its_own_visible_exemplars(encoder, prompts):
    present = torch.ones(B, K, C, dtype=torch.bool)
    present[0, 1, 2] = False
    lent = neighbours(present)
    before = encoder(prompts, lent)
    lent.prototypes[0, 1, 2] += 5  # not present: nobody may notice
    assert torch.allclose(before, encoder(prompts, lent), atol=1e-6)
    lent.prototypes[0, 0, 2] += torch.randn(E)
    changed = (before - encoder(prompts, lent)).abs().sum(-1) > 1e-5
    assert changed.nonzero().tolist() == [[0, 2]]


def test_geometry_counts(encoder, prompts):
    lent = neighbours(torch.ones(B, K, C, dtype=torch.bool))
    before = encoder(prompts, lent)
    lent.geometry[1, :, 3] += 0.5
    changed = (before - encoder(prompts, lent)).abs().sum(-1) > 1e-5
    assert changed.nonzero().tolist() == [[1, 3]]


def test_the_order_of_neighbours_does_not_matter(encoder, prompts):
    lent = neighbours(torch.rand(B, K, C) > 0.4)
    order = torch.tensor([2, 0, 1])
    shuffled = Neighbours(
        lent.prototypes[:, order], lent.geometry[:, order], lent.present[:, order]
    )
    assert torch.allclose(encoder(prompts, lent), encoder(prompts, shuffled), atol=1e-5)


def test_without_any_exemplar_gradients_are_finite(encoder, prompts):
    encoder(prompts, neighbours(torch.zeros(B, K, C, dtype=torch.bool))).sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_every_parameter_is_used_without_a_gallery(encoder, prompts):
    encoder(prompts, None).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
