import numpy as np

from sav.synthetic.camera import Camera, rasterize

_TARGET = np.zeros(3)


def _camera(size=64, **view):
    settings = {"azimuth": 0.0, "elevation": 0.0, "distance": 10.0} | view
    return Camera.looking_at(_TARGET, **settings).framed(size * 2.0, (size / 2, size / 2))


def _square(x, half):
    """A square across the view from +x, counter-clockwise for that viewer."""
    corners = [(x, -half, -half), (x, half, -half), (x, half, half), (x, -half, half)]
    return np.array(corners, float)


def test_projection_has_left_and_up_right():
    pixels, depth = _camera().project(np.array([(0, 1.0, 0), (0, 0, 1.0), (1.0, 0, 0)]))
    assert pixels[0, 0] > 32  # the vehicle's left is on the right of a frontal view
    assert pixels[1, 1] < 32
    assert np.allclose(depth, [10, 10, 9])


def test_ground_homography_agrees_with_projection():
    camera = _camera(azimuth=0.7, elevation=0.4, roll=0.1)
    ground = np.array([1.5, -2.0])
    homogeneous = camera.ground_homography() @ [*ground, 1.0]
    pixels, _ = camera.project(np.array([*ground, 0.0]))
    assert np.allclose(homogeneous[:2] / homogeneous[2], pixels)


def test_nearer_face_hides_farther_in_any_order():
    near, far = _square(1.0, 0.5), _square(-1.0, 2.0)
    for quads in (np.stack([near, far]), np.stack([far, near])):
        ids = np.array([q[0, 0] for q in quads])
        attributes = np.broadcast_to(ids[:, None, None], (2, 4, 1))
        pixels, faces, values = rasterize(quads, attributes, _camera(), 64)
        picture = np.zeros(64 * 64)
        picture[pixels] = values[:, 0]
        assert picture.reshape(64, 64)[32, 32] == 1.0
        assert picture.reshape(64, 64)[32, 22] == -1.0
        assert set(faces) == {0, 1}


def test_faces_seen_from_behind_are_left_out():
    quads = _square(0.0, 1.0)[None, ::-1]
    pixels, _, _ = rasterize(quads, np.zeros((1, 4, 1)), _camera(), 64)
    assert len(pixels) == 0


def test_attributes_are_perspective_correct():
    tilted = np.array([(3.0, -1, -1), (-3.0, 1, -1), (-3.0, 1, 1), (3.0, -1, 1)])
    camera = _camera(azimuth=0.3)
    pixels, _, values = rasterize(tilted[None], tilted[None], camera, 64)
    seen, _ = camera.project(values.astype(float))
    expected = np.stack([pixels % 64, pixels // 64], 1) + 0.5
    assert np.abs(seen - expected).max() < 0.02


def test_edge_on_sliver_does_not_reach_through_a_nearer_face():
    wall = _square(1.0, 1.5)
    sliver = np.array([(-4.0, 0, -1), (0.9, 0.005, -1), (0.9, 0.005, 1), (-4.0, 0, 1)])
    quads = np.stack([wall, sliver[::-1], sliver])
    _, faces, _ = rasterize(quads, np.zeros((3, 4, 1)), _camera(), 64)
    assert set(faces) == {0}
