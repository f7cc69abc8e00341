import torch

from sav.retrieval.entries import describe, main_vehicle, pool_batch, pool_parts


def rectangle(top, left, bottom, right, size=16):
    mask = torch.zeros(size, size)
    mask[top:bottom, left:right] = 1
    return mask


def test_prototypes_are_means_inside_the_masks():
    embedding = torch.zeros(2, 4, 4)
    embedding[0, :2] = 1.0  # upper half
    embedding[1, :, :2] = 3.0  # left half
    masks = torch.stack([rectangle(0, 0, 8, 8), rectangle(8, 0, 16, 16)])
    prototypes, geometry, present = pool_parts(embedding, masks, torch.tensor([2, 0]), 4)
    assert torch.allclose(prototypes[2], torch.tensor([1.0, 3.0]))
    assert torch.allclose(prototypes[0], torch.tensor([0.0, 1.5]))
    assert present.tolist() == [True, False, True, False]
    assert torch.equal(prototypes[1], torch.zeros(2))
    assert torch.equal(geometry[1], torch.zeros(5))


def test_geometry_is_in_the_frame_of_the_vehicle():
    body, plate = rectangle(4, 2, 12, 14), rectangle(8, 5, 10, 8)
    _, geometry, _ = pool_parts(
        torch.rand(2, 4, 4), torch.stack([body, plate]), torch.tensor([0, 1]), 2
    )
    assert torch.allclose(geometry[0], torch.tensor([0.5, 0.5, 1.0, 1.0, 1.0]))
    assert torch.allclose(
        geometry[1], torch.tensor([4.5 / 12, 5 / 8, 3 / 12, 2 / 8, 6 / 96]), atol=1e-6
    )


def test_geometry_moves_with_the_vehicle():
    masks = torch.stack([rectangle(4, 2, 10, 12), rectangle(5, 3, 7, 6)])
    moved = masks.roll((3, 2), dims=(1, 2))
    classes = torch.tensor([0, 1])
    before = pool_parts(torch.rand(2, 4, 4), masks, classes, 2)[1]
    after = pool_parts(torch.rand(2, 4, 4), moved, classes, 2)[1]
    assert torch.allclose(before, after)


def test_main_vehicle_is_the_largest_in_total():
    masks = torch.stack([rectangle(0, 0, 6, 6), rectangle(8, 0, 12, 8), rectangle(8, 8, 12, 16)])
    assert main_vehicle(masks, torch.tensor([5, 9, 9])).tolist() == [False, True, True]


def test_only_the_main_vehicle_is_pooled():
    masks = torch.stack([rectangle(0, 0, 2, 2), rectangle(4, 4, 16, 16)])
    parts = [(masks, torch.tensor([0, 1]), torch.tensor([0, 1]))]
    entry = pool_batch(torch.zeros(1, 3), torch.rand(1, 2, 4, 4), parts, 2)
    assert entry.present.tolist() == [[False, True]]


def test_descriptors_are_unit_vectors_that_see_the_layout():
    embedding = torch.randn(1, 8, 8, 8).expand(2, -1, -1, -1)
    layout = torch.zeros(2, 3, 8, 8)
    layout[0, 1, :, :4] = 9
    layout[1, 1, :, 4:] = 9
    descriptors = describe(embedding, layout)
    assert descriptors.shape == (2, 8 + 16 * 3)
    assert torch.allclose(descriptors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert descriptors[0] @ descriptors[1] < 0.9
