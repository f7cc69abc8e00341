import pytest

from sav.errors import SAVError
from sav.formats.validation_split import choose_valid


def test_no_vehicle_is_in_both_training_and_validation():
    group_of = {f"{i}.jpg": f"car {i // 4}" if i < 16 else None for i in range(23)}

    def is_whole(held_out):
        return all(
            sum(f"{i}.jpg" in held_out for i in range(4 * car, 4 * car + 4)) in (0, 4)
            for car in range(4)
        )

    assert choose_valid(group_of, 9, seed=1) != choose_valid(group_of, 9)
    for valid in range(1, 20):
        held_out = choose_valid(group_of, valid)
        assert is_whole(held_out)
        assert valid <= len(held_out) < valid + 4
    with pytest.raises(SAVError, match="--valid 23: there are 23 images of 11 vehicles"):
        choose_valid(group_of, 23)
