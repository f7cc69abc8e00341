import pytest
import torch

from sav.modeling.grouping import VehicleKinds, group_into_vehicles


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_parts_join_the_body_that_holds_them():
    found = group_into_vehicles(
        boxes(
            [0, 0, 50, 50], [60, 0, 100, 50], [5, 40, 15, 55], [90, 40, 99, 55], [52, 20, 55, 30]
        ),
        torch.tensor([0, 0, 2, 2, 1]),
        torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]),
        kinds=VehicleKinds(bodies=(0,)),
    )
    assert found.tolist() == [0, 1, 0, 1, 1]


def test_a_body_inside_a_better_body_is_no_vehicle_of_its_own():
    found = group_into_vehicles(
        boxes([0, 0, 50, 50], [5, 5, 30, 30]),
        torch.tensor([0, 0]),
        torch.tensor([0.9, 0.4]),
        VehicleKinds((0,)),
    )
    assert found.tolist() == [0, 0]


def test_without_a_body_class_touching_parts_are_one_vehicle():
    found = group_into_vehicles(
        boxes([0, 0, 10, 10], [10, 0, 20, 10], [60, 0, 70, 10], [70.5, 0, 80, 10]),
        torch.tensor([1, 2, 1, 2]),
        torch.tensor([0.9, 0.8, 0.7, 0.6]),
        kinds=VehicleKinds(),
    )
    assert found.tolist() == [0, 0, 1, 1]


DOOR, WHEEL, LIGHT = 0, 1, 2
KINDS = VehicleKinds(once=(DOOR, LIGHT))


def test_two_doors_of_one_side_are_two_vehicles():
    # Both vehicles touch; each has its door, two wheels and a light.
    rows = [
        (DOOR, [20, 10, 40, 30]),
        (DOOR, [70, 10, 90, 30]),
        (WHEEL, [8, 25, 18, 35]),
        (WHEEL, [42, 25, 52, 35]),
        (WHEEL, [58, 25, 68, 35]),
        (LIGHT, [0, 12, 6, 18]),
        (LIGHT, [52, 12, 58, 18]),
        (WHEEL, [92, 25, 102, 35]),
        (3, [5, 2, 50, 36]),
        (3, [53, 2, 100, 36]),
    ]
    scores = torch.linspace(0.9, 0.5, len(rows))
    classes = torch.tensor([class_id for class_id, _ in rows])
    found = group_into_vehicles(boxes(*(box for _, box in rows)), classes, scores, KINDS)
    assert found.tolist() == [0, 1, 0, 0, 1, 0, 1, 1, 0, 1]


def test_a_door_that_is_found_twice_is_one_vehicle():
    twice = boxes([20, 10, 40, 30], [21, 10, 41, 31], [25, 28, 35, 38])
    classes = torch.tensor([DOOR, DOOR, WHEEL])
    found = group_into_vehicles(twice, classes, torch.tensor([0.9, 0.8, 0.7]), KINDS)
    assert found.tolist() == [0, 0, 0]


def test_an_unlikely_door_is_no_vehicle():
    doors = boxes([20, 10, 40, 30], [40, 10, 60, 30])
    classes = torch.tensor([DOOR, DOOR])
    found = group_into_vehicles(doors, classes, torch.tensor([0.9, 0.1]), KINDS)
    assert found.tolist() == [0, 0]


def test_the_order_of_the_classes_does_not_matter():
    kinds = VehicleKinds(once=(0, 1, 2, 3))
    for seed in range(50):
        rng = torch.Generator().manual_seed(seed)
        corner = 60 * torch.rand(12, 2, generator=rng)
        places = torch.cat([corner, corner + 20], dim=1)
        classes = torch.randint(6, (12,), generator=rng)
        scores = torch.rand(12, generator=rng).sort(descending=True).values
        found = group_into_vehicles(places, classes, scores, kinds)
        renamed = torch.tensor([3, 2, 1, 0, 5, 4])[classes]
        assert torch.equal(group_into_vehicles(places, renamed, scores, kinds), found)


@pytest.mark.parametrize("scores", [(0.9, 0.4), (0.4, 0.9)])
def test_of_two_parts_at_one_place_the_surer_goes_to_the_nearer_vehicle(scores):
    found = group_into_vehicles(
        boxes([0, 0, 40, 40], [42, 0, 82, 40], [30, 36, 38, 44], [30, 36, 38, 44]),
        torch.tensor([DOOR, DOOR, WHEEL, WHEEL]),
        torch.tensor([0.95, 0.94, *scores]),
        KINDS,
    )
    near, far = (0, 1) if scores[0] > scores[1] else (1, 0)
    assert found.tolist() == [0, 1, near, far]
