"""Exemplars as prompts of a second decoding."""

import pytest
import torch

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.evidence import Evidence, Retrieved
from sav.modeling.context.prompts import ExemplarPrompts
from sav.modeling.context.vehicles import PredictedVehicles
from sav.modeling.embedding import EMBEDDING
from sav.modeling.encoded_photos import EncodedPhotos

from .small_views import whole_view

B, C, K, DIM, M, SIDE = 2, 3, 4, 256, 18, 4


@pytest.fixture
def prompts():
    """As if trained: none of its weights is zero."""
    torch.manual_seed(0)
    made = ExemplarPrompts()
    for parameter in (made.write.weight, *made.token[-1].parameters(), made.no_exemplar):
        torch.nn.init.normal_(parameter, std=0.1)
    return made


def photos():
    maps = {EMBEDDING: torch.randn(B, DIM, SIDE, SIDE, requires_grad=True)}
    known = torch.ones(B, C, dtype=torch.bool)
    return EncodedPhotos(maps, [whole_view([1] * C)] * B, known, [None] * B)


def retrieved(photo=(0, 1), seed=1):
    draw = torch.Generator().manual_seed(seed)
    count = len(photo)
    known = torch.ones(count, K, C, dtype=torch.bool)
    near = Neighbours(
        prototypes=torch.randn(count, K, C + 1, DIM, generator=draw),
        layouts=torch.rand(count, K, C, M, M, generator=draw),
        predicted_layouts=torch.rand(count, K, C, M, M, generator=draw),
        present=known,
        known=known.clone(),
        similarity=torch.rand(count, K, generator=draw),
        exists=known[..., 0],
    )
    maps = torch.rand(3, B, C, 8, 8, generator=draw)
    evidence = Evidence(*maps, torch.ones(B, C), torch.ones(B), torch.ones(B, C) > 0)
    vehicles = PredictedVehicles(
        torch.tensor(photo), torch.zeros(count, C, 2, 2), torch.rand(count, 4)
    )
    return Retrieved(vehicles, near, evidence)


CLASSES = torch.randn(B, C, DIM, generator=torch.Generator().manual_seed(5))
PARTS = torch.rand(B, C, 16, 16, generator=torch.Generator().manual_seed(6))


def test_untrained_prompts_add_nothing():
    given = photos()
    seen, queries = ExemplarPrompts()(given, CLASSES, PARTS, retrieved())
    assert torch.equal(seen.embedding, given.embedding)
    assert torch.equal(queries, CLASSES)


def test_every_weight_learns_and_nothing_flows_back(prompts):
    given, classes = photos(), CLASSES.clone().requires_grad_()
    seen, queries = prompts(given, classes, PARTS, retrieved())
    (seen.embedding.pow(2).sum() + queries.pow(2).sum()).backward()
    assert all((p.grad != 0).any() for p in prompts.parameters())
    assert given.maps[EMBEDDING].grad is classes.grad is None


def test_dense_prompts_are_where_the_evidence_is(prompts):
    found = retrieved()
    for value in (found.evidence.layout, found.evidence.error, found.evidence.appearance):
        value.zero_()
    found.evidence.layout[0, 1, :2, 6:] = 1.0  # the corner, one cell of the embedding
    dense = prompts.dense(CLASSES, PARTS * 0, found.evidence, (SIDE, SIDE))
    assert (dense[0, :, 0, 3] != 0).any()
    dense[0, :, 0, 3] = 0
    assert (dense == 0).all()


def test_how_far_neighbours_are_followed_depends_on_their_similarity(prompts):
    evidence, nothing = retrieved().evidence, PARTS * 0
    near = prompts.dense(CLASSES, nothing, evidence, (SIDE, SIDE))
    evidence.similarity[1] = 0.2
    far = prompts.dense(CLASSES, nothing, evidence, (SIDE, SIDE))
    assert torch.equal(near[0], far[0])
    assert not torch.allclose(near[1], far[1], atol=1e-4)


def test_the_class_prompt_tells_whose_evidence_it_is(prompts):
    """Classes in another order, with their prompts: the same dense prompt."""
    evidence, order = retrieved().evidence, torch.tensor([2, 0, 1])
    before = prompts.dense(CLASSES, PARTS, evidence, (SIDE, SIDE))
    turned = Evidence(
        *(x[:, order] for x in (evidence.layout, evidence.error, evidence.appearance)),
        evidence.visibility,
        evidence.similarity,
        evidence.known,
    )
    after = prompts.dense(CLASSES[:, order], PARTS[:, order], turned, (SIDE, SIDE))
    assert torch.allclose(before, after, atol=1e-5)
    other = prompts.dense(CLASSES, PARTS[:, order], turned, (SIDE, SIDE))
    assert not torch.allclose(before, other, atol=1e-3)


def test_classes_that_no_neighbour_knows_keep_their_queries(prompts):
    found = retrieved()
    found.neighbours.known[:, :, 1] = False
    _, queries = prompts(photos(), CLASSES, PARTS, found)
    assert torch.equal(queries[:, 1], CLASSES[:, 1])
    assert (queries[:, [0, 2]] != CLASSES[:, [0, 2]]).any(-1).all()


def test_what_a_neighbour_does_not_know_it_does_not_tell(prompts):
    found = retrieved()
    found.neighbours.known[:, 0, 1] = False
    before = prompts(photos(), CLASSES, PARTS, found)[1]
    found.neighbours.prototypes[:, 0, 1] += 1
    found.neighbours.layouts[:, 0, 1] = 0
    assert torch.equal(prompts(photos(), CLASSES, PARTS, found)[1], before)
    found.neighbours.prototypes[:, 1, 1] += 1
    assert not torch.equal(prompts(photos(), CLASSES, PARTS, found)[1], before)


def test_vehicles_of_a_photo_share_its_queries(prompts):
    found = retrieved((0, 1, 1))
    tokens = prompts.sparse(CLASSES[[0, 1, 1]], found.neighbours)
    _, queries = prompts(photos(), CLASSES, PARTS, found)
    assert torch.allclose(queries[0], CLASSES[0] + tokens[0], atol=1e-5)
    assert torch.allclose(queries[1], CLASSES[1] + (tokens[1] + tokens[2]) / 2, atol=1e-5)
