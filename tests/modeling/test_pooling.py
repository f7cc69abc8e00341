import torch

from sav.modeling.context.pooling import LAYOUT_SIDE, pool_exemplars, retrieval_key

WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
CELL = LAYOUT_SIDE // 6


def masks(*rectangles, size=2 * LAYOUT_SIDE):
    """(1, C, size, size) of one rectangle a class, in sixths of the side; None for none."""
    unit = size // 6
    parts = torch.zeros(1, len(rectangles), size, size)
    for part, sides in zip(parts[0], rectangles, strict=True):
        if sides is not None:
            left, top, right, bottom = (unit * side for side in sides)
            part[top:bottom, left:right] = 1.0
    return parts


def pool(annotated, embedding=None, predicted=None, boxes=WHOLE):
    count = len(annotated)
    embedding = torch.randn(count, 2, 6, 6) if embedding is None else embedding
    if predicted is None:
        predicted = torch.rand(count, annotated.shape[1], LAYOUT_SIDE, LAYOUT_SIDE)
    return pool_exemplars(embedding, annotated, predicted, boxes.expand(count, 4))


def test_prototypes_are_means_within_the_parts_and_around_the_vehicle():
    embedding = torch.zeros(1, 2, 6, 6)
    embedding[0, 0, :3] = 1.0  # upper half
    embedding[0, 1, :, :3] = 3.0  # left half
    annotated = masks((0, 0, 3, 3), None, (3, 0, 6, 6))
    (prototypes,) = pool(annotated, embedding).prototypes
    assert torch.allclose(prototypes[0], torch.tensor([1.0, 3.0]))
    assert torch.allclose(prototypes[2], torch.tensor([0.5, 0.0]))
    assert torch.allclose(prototypes[3], torch.tensor([0.0, 3.0]))  # the lower left is left over
    assert torch.equal(prototypes[1], torch.zeros(2))


def test_what_is_not_annotated_is_not_present():
    entry = pool(masks((0, 0, 3, 3), None, (5, 5, 6, 6)))
    assert entry.present.tolist() == [[True, False, True]]
    assert (entry.layouts[0, 1] == 0).all()


def test_a_part_smaller_than_a_cell_is_present_and_has_a_prototype():
    annotated = torch.zeros(1, 1, 36, 36)
    annotated[0, 0, 7, 8] = 1.0
    embedding = torch.randn(1, 2, 6, 6)
    entry = pool(annotated, embedding)
    assert entry.present.all()
    assert torch.allclose(entry.prototypes[0, 0], embedding[0, :, 1, 1], atol=1e-5)


def test_layouts_are_shares_of_cells_in_the_box():
    annotated = masks((0, 0, 2, 3), (2, 0, 6, 3))
    layouts = pool(annotated).layouts
    assert layouts.dtype == torch.uint8
    expected = torch.zeros(2, LAYOUT_SIDE, LAYOUT_SIDE)
    expected[0, : 3 * CELL, : 2 * CELL] = 255
    expected[1, : 3 * CELL, 2 * CELL :] = 255
    assert torch.equal(layouts[0].float(), expected)
    half = torch.tensor([[0.0, 0.0, 1.0, 0.5]])
    stretched = pool(annotated, boxes=half).layouts[0].float()
    # Towards the edge of the image it fades into the nothing outside.
    assert (stretched[0, 1:-1, 1 : 2 * CELL - 1] == 255).all()
    assert (stretched[1, 1:-1, 2 * CELL + 1 : -1] == 255).all()


def test_what_the_model_saw_is_kept_beside_what_is_there():
    annotated = masks((0, 0, 3, 3), (3, 3, 6, 6))
    predicted = torch.zeros(1, 2, LAYOUT_SIDE, LAYOUT_SIDE)
    predicted[0, 1] = 0.4
    entry = pool(annotated, predicted=predicted)
    assert (entry.predicted_layouts[0, 1] == 102).all()
    assert (entry.predicted_layouts[0, 0] == 0).all()
    assert torch.allclose(entry.keys, retrieval_key(predicted), atol=1e-6)


def test_photos_are_pooled_each_by_itself():
    annotated = torch.cat([masks((0, 0, 3, 3), None), masks((1, 1, 6, 6), (0, 0, 1, 1))])
    embedding, predicted = torch.randn(2, 2, 6, 6), torch.rand(2, 2, LAYOUT_SIDE, LAYOUT_SIDE)
    both = pool(annotated, embedding, predicted)
    alone = pool(annotated[1:], embedding[1:], predicted[1:])
    for name, value in alone.tensors().items():
        assert torch.allclose(both.tensors()[name][1:].float(), value.float(), atol=1e-6)


def test_descriptors_are_unit_vectors_in_which_small_parts_count():
    body, one, other = (0, 0, 6, 6), (0, 0, 1, 1), (5, 5, 6, 6)
    seen = torch.cat([masks(body, one), masks(body, other), masks(body, one) * 0.7])
    descriptors = retrieval_key(seen)
    assert torch.allclose(descriptors.norm(dim=1), torch.ones(3), atol=1e-5)
    similar = descriptors @ descriptors.T
    # Compared cell by cell, a part of one cell in 36 would make a difference of 0.03.
    assert similar[0, 1] < 0.975
    assert similar[0, 2] > 0.999  # how sure the model is does not count


def test_a_photo_in_which_nothing_is_seen_has_a_finite_descriptor():
    assert (retrieval_key(torch.zeros(1, 3, LAYOUT_SIDE, LAYOUT_SIDE)) == 0).all()
