import numpy as np
import pytest

from sav.synthetic import BODY_TYPES, FINE_PARTS, render_scene
from sav.synthetic.camera import Camera
from sav.synthetic.parts import PART_ID, swap_sides
from sav.synthetic.scene import make_vehicle, render_vehicles
from sav.synthetic.shading import sample_lighting

_SIZE = 256


def _view(vehicle, azimuth, elevation=4.0, distance=400.0):
    """Colours and part names of a vehicle alone; from far away, so that only one side shows."""
    target = np.array([0, 0, 0.5 * vehicle.body.height])
    camera = Camera.looking_at(
        target, azimuth=np.deg2rad(azimuth), elevation=np.deg2rad(elevation), distance=distance
    )
    focal = 0.9 * _SIZE * distance / (1.15 * vehicle.body.length)
    camera = camera.framed(focal, (_SIZE / 2, _SIZE / 2))
    lighting = sample_lighting(np.random.default_rng(0), np.full(3, 110.0), indoor=False)
    color, parts, ids = render_vehicles([vehicle], camera, _SIZE, lighting)
    assert np.array_equal(parts > 0, ids > 0)
    return color, parts


def _names(parts):
    values, counts = np.unique(parts[parts > 0], return_counts=True)
    return {FINE_PARTS[v - 1]: int(n) for v, n in zip(values, counts, strict=True)}


@pytest.fixture(scope="module", params=BODY_TYPES)
def vehicle(request):
    return make_vehicle(np.random.default_rng(3), [request.param])


def _share(parts, names):
    """Share of the vehicle's pixels that show any of these parts."""
    values = [PART_ID[name] for name in names]
    return np.isin(parts, values).sum() / (parts > 0).sum()


# The outermost pixel of a silhouette may show what lies just beyond it.
_RIM = 0.004


def test_no_part_of_the_far_side_shows(vehicle):
    for azimuth, far in ((90, "right"), (270, "left")):
        # far wheels stand under the body, far mirrors stick out: both can really be seen
        hidden = [
            n for n in FINE_PARTS if n.startswith(far) and not n.endswith(("wheel", "mirror"))
        ]
        assert _share(_view(vehicle, azimuth)[1], hidden) < _RIM


def test_front_view_has_no_back_parts_and_back_view_no_front_parts(vehicle):
    back = {"back_bumper", "trunk", "tailgate", "bed_gate", "rear_window", "trunk_plate"}
    back |= {"bumper_plate", "left_tail_light", "right_tail_light"}
    front = {"front_bumper", "grille", "hood", "windshield", "front_plate"}
    front |= {"left_head_light", "right_head_light"}
    from_front, from_back = (_view(vehicle, azimuth)[1] for azimuth in (0, 180))
    assert _share(from_front, back) < _RIM
    assert _share(from_back, front) < _RIM
    assert front <= set(_names(from_front))
    seen = set(_names(from_back))
    assert {"back_bumper", "left_tail_light", "right_tail_light"} <= seen
    assert {"trunk_plate", "bumper_plate"} & seen


def test_side_view_has_wheels_window_and_door(vehicle):
    for azimuth, side in ((90, "left"), (270, "right")):
        names = _names(_view(vehicle, azimuth)[1])
        for part in ("front_wheel", "back_wheel", "front_door", "front_window"):
            assert names.get(f"{side}_{part}", 0) > 40, part


def test_opposite_azimuths_are_mirror_images(vehicle):
    one, other = _view(vehicle, 50, 12)[1], _view(vehicle, -50, 12)[1]
    mirrored = swap_sides()[other[:, ::-1]]
    assert (one == mirrored).sum() >= 0.985 * one.size
    assert _names(one).keys() >= {"left_front_door", "left_front_wheel", "hood", "windshield"}


def test_wheels_are_round_and_stand_on_the_ground(vehicle):
    _, parts = _view(vehicle, 90, elevation=0.5)
    rows, cols = np.nonzero(parts == PART_ID["left_front_wheel"])
    assert np.ptp(cols) == pytest.approx(np.ptp(rows), rel=0.2)
    assert rows.max() >= np.nonzero(parts)[0].max() - 1


def test_windows_lie_above_the_doors_and_look_like_glass():
    vehicle = make_vehicle(np.random.default_rng(5), ["sedan"])
    _, parts = _view(vehicle, 90)
    window, door = (np.nonzero(parts == PART_ID[f"left_front_{p}"])[0] for p in ("window", "door"))
    assert window.max() < np.percentile(door, 60)
    assert window.min() > np.nonzero(parts)[0].min()


def test_scene_is_reproducible_and_consistent():
    one, two = (render_scene(np.random.default_rng([1, 2]), 96) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert np.array_equal(one.instance_map, two.instance_map)
    assert one.image.shape == (96, 96, 3)
    assert one.metadata == two.metadata
    assert np.array_equal(one.part_map > 0, one.vehicle_map > 0)


def test_scenes_show_the_asked_vehicle_large_enough():
    sizes, counts = [], []
    for seed in range(24):
        scene = render_scene(np.random.default_rng([7, seed]), 64, body_types=["suv"], azimuth=30)
        assert scene.metadata["vehicles"][0]["body_type"] == "suv"
        assert scene.vehicle_map.max() <= len(scene.metadata["vehicles"])
        columns = np.nonzero((scene.vehicle_map == 1).any(0))[0]
        sizes.append(len(columns) / 64)
        counts.append(len(scene.metadata["vehicles"]))
    assert np.median(sizes) > 0.5
    assert max(counts) > 1


def test_a_scene_without_vehicles_is_its_place_alone():
    for seed in range(12):
        scene = render_scene(np.random.default_rng([9, seed]), 64, body_types=[])
        assert not scene.part_map.any()
        assert not scene.vehicle_map.any()
        assert scene.metadata["vehicles"] == []
        assert scene.image.std() > 1
