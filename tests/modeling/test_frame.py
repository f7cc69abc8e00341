import pytest
import torch

from sav.modeling.context.frame import crop, lay_over, vehicle_boxes
from sav.modeling.context.keys import layout_key

N = 32


def rectangle(left, top, right, bottom, classes=2):
    """Parts (1, classes, N, N) of which the first covers some cells."""
    parts = torch.zeros(1, classes, N, N)
    parts[0, 0, top:bottom, left:right] = 1.0
    return parts


@pytest.mark.parametrize("sides", [(6, 10, 20, 16), (0, 0, 32, 32), (25, 4, 32, 30)])
def test_the_box_is_that_of_the_parts_and_a_margin(sides):
    box = vehicle_boxes(rectangle(*sides))[0]
    low, high = torch.tensor(sides[:2]) / N, torch.tensor(sides[2:]) / N
    margin = 0.1 * (high - low)
    assert torch.allclose(box, torch.cat([low - margin, high + margin]), atol=1 / N)


def test_the_box_moves_with_the_vehicle():
    parts = rectangle(6, 10, 20, 16)
    moved = parts.roll((5, -3), dims=(2, 3))
    expected = vehicle_boxes(parts) + torch.tensor([-3, 5, -3, 5]) / N
    assert torch.allclose(vehicle_boxes(moved), expected, atol=1e-4)


def test_the_box_grows_by_less_than_a_cell_at_a_time():
    parts = rectangle(6, 10, 20, 16)
    parts[0, 0, 10:16, 20] = 0.5
    right = vehicle_boxes(parts)[0, 2]
    narrow, wide = (vehicle_boxes(rectangle(6, 10, x, 16))[0, 2] for x in (20, 21))
    assert narrow < right < wide


def test_a_stray_cell_does_not_move_the_box():
    parts = rectangle(6, 10, 20, 16)
    clean = vehicle_boxes(parts)
    parts[0, 1, 30, 30] = 1.0
    assert torch.allclose(vehicle_boxes(parts), clean, atol=1 / N)


def test_where_nothing_is_seen_the_box_is_the_image():
    box = vehicle_boxes(torch.zeros(2, 3, N, N))
    assert torch.allclose(box, torch.tensor([[-0.1, -0.1, 1.1, 1.1]]).expand(2, 4), atol=1 / N)


def test_lay_over_undoes_crop():
    x = torch.linspace(0.2, 0.9, N)
    parts = torch.stack([x[None].expand(N, N), x[:, None].expand(N, N)])[None]
    box = torch.tensor([[0.25, 0.375, 0.75, 0.875]])
    layouts = crop(parts, box, 18)
    assert layouts.shape == (1, 2, 18, 18)
    back = lay_over(layouts, box, N)
    inside = torch.zeros(N, N, dtype=torch.bool)
    inside[13:27, 9:23] = True  # a cell within the box, where nothing of the outside is mixed in
    assert torch.allclose(back[..., inside], parts[..., inside], atol=1e-5)
    outside = torch.ones(N, N, dtype=torch.bool)
    outside[11:29, 7:25] = False
    assert (back[..., outside] == 0).all()


def test_a_box_may_reach_out_of_the_image():
    parts = torch.ones(1, 1, N, N)
    layouts = crop(parts, torch.tensor([[-1.0, 0.0, 1.0, 1.0]]), 18)[0, 0]
    assert (layouts[:, :8] == 0).all()
    assert (layouts[1:-1, 10:-1] > 0.999).all()


def test_what_is_laid_over_lies_where_the_vehicle_is():
    """Two vehicles of one kind, elsewhere and of other sizes: one becomes the other."""
    large, small = rectangle(4, 8, 28, 24), rectangle(16, 2, 28, 10)
    large[0, 1, 16:24, 4:12] = 1.0
    small[0, 1, 6:10, 16:20] = 1.0
    layouts = crop(large, vehicle_boxes(large), 18)
    laid = lay_over(layouts, vehicle_boxes(small), N)
    shared = torch.minimum(laid, small).sum((2, 3)) / torch.maximum(laid, small).sum((2, 3))
    assert (shared > 0.75).all()


def test_descriptors_do_not_depend_on_where_the_vehicle_stands():
    parts = rectangle(6, 10, 20, 16)
    parts[0, 1, 12:16, 6:10] = 1.0
    both = torch.cat([parts, parts.roll((5, -3), dims=(2, 3)), parts.flip(-1)])
    same, moved, turned = layout_key(crop(both, vehicle_boxes(both), 18))
    assert same @ moved > 0.999
    assert same @ turned < 0.95
