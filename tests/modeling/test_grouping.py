import torch

from sav.modeling.grouping import group_into_vehicles


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32)


def test_parts_join_the_body_that_holds_them():
    found = group_into_vehicles(
        boxes(
            [0, 0, 50, 50], [60, 0, 100, 50], [5, 40, 15, 55], [90, 40, 99, 55], [52, 20, 55, 30]
        ),
        torch.tensor([0, 0, 2, 2, 1]),
        torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]),
        body_ids=(0,),
    )
    assert found.tolist() == [0, 1, 0, 1, 1]


def test_a_body_inside_a_better_body_is_no_vehicle_of_its_own():
    found = group_into_vehicles(
        boxes([0, 0, 50, 50], [5, 5, 30, 30]), torch.tensor([0, 0]), torch.tensor([0.9, 0.4]), (0,)
    )
    assert found.tolist() == [0, 0]


def test_without_a_body_class_touching_parts_are_one_vehicle():
    found = group_into_vehicles(
        boxes([0, 0, 10, 10], [10, 0, 20, 10], [60, 0, 70, 10], [70.5, 0, 80, 10]),
        torch.tensor([1, 2, 1, 2]),
        torch.tensor([0.9, 0.8, 0.7, 0.6]),
        body_ids=(),
    )
    assert found.tolist() == [0, 0, 1, 1]
