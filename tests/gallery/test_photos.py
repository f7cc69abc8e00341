import cv2
import numpy as np
import pytest

from sav.gallery.photos import COPY_DISTANCE, Photo, photo_hash
from sav.gallery.vehicles import Vehicle, VehicleTable, vehicles_from_columns
from sav.synthetic import render_scene


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(np.random.default_rng(seed), 128).image for seed in range(6)]


def distance(a, b):
    return int(np.bitwise_count(np.uint64(a) ^ np.uint64(b)))


def recompressed(image, quality=40, scale=1.0):
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    code = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]


def table(*photos):
    made = VehicleTable()
    made.insert([*map(Vehicle, photos)])
    return made


def forbidden(photos, photo):
    return photos.excluded([photo], np.arange(len(photos))[None])[0].tolist()


def test_copies_have_nearly_the_same_hash_and_other_photos_have_not(scenes):
    hashes = [photo_hash(scene) for scene in scenes]
    for scene, own in zip(scenes, hashes, strict=True):
        assert distance(photo_hash(recompressed(scene)), own) <= COPY_DISTANCE
        assert distance(photo_hash(recompressed(scene, 80, 0.5)), own) <= COPY_DISTANCE
        assert photo_hash(scene.copy()) == own
    others = [distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(others) > COPY_DISTANCE


def test_copies_under_other_names_are_forbidden_mirrored_ones_too(scenes):
    first, second = scenes[:2]
    photos = table(
        Photo("a/1", hash=photo_hash(first)),
        Photo("b/7", hash=photo_hash(recompressed(first))),
        Photo("b/8", hash=photo_hash(recompressed(first[:, ::-1]))),
        Photo("b/9", hash=photo_hash(second)),
    )
    assert forbidden(photos, photos[0].photo) == [True, True, True, False]
    assert forbidden(photos, photos[2].photo) == [True, True, True, False]
    assert forbidden(photos, photos[3].photo) == [False, False, False, True]


def test_the_group_is_forbidden_in_all_data_sets():
    photos = table(Photo("a/1", "claim 7"), Photo("a/2", "claim 8"), Photo("b/1", "claim 7"))
    assert forbidden(photos, Photo("c/1", "claim 7")) == [True, False, True]
    assert forbidden(photos, Photo("c/1", "claim 9")) == [False] * 3
    assert forbidden(photos, None) == [False] * 3


def test_a_replaced_photo_takes_its_new_group():
    photos = table(Photo("a/1", "x"), Photo("a/2", "y"))
    assert photos.insert([Vehicle(Photo("a/1", "y"))]) == [0]
    assert len(photos) == 2
    assert forbidden(photos, Photo("c/1", "y")) == [True, True]


def test_photos_without_a_hash_are_no_copies():
    flat = np.full((40, 40, 3), 200, np.uint8)
    assert photo_hash(flat) is None
    photos = table(Photo("a/1"), Photo("a/2", hash=0))
    assert forbidden(photos, Photo("c/1")) == [False, False]
    assert forbidden(photos, Photo("c/1", hash=1)) == [False, True]


def test_columns_round_trip():
    photo = Photo("a/1", "g", 2**64 - 1, "x.jpg")
    vehicles, made = [Vehicle(photo), Vehicle(photo, 3), Vehicle(Photo("a/2"))], VehicleTable()
    made.insert(vehicles)
    assert vehicles_from_columns(made.columns()) == vehicles
    with pytest.raises(ValueError, match="zip"):
        vehicles_from_columns({**made.columns(), "hashes": [1]})


def test_a_photo_retrieves_none_of_its_own_vehicles():
    made = VehicleTable()
    own, other = Photo("a/1"), Photo("a/2")
    assert made.insert([Vehicle(own, 0), Vehicle(other, 0), Vehicle(own, 1)]) == [0, 1, 2]
    assert forbidden(made, own) == [True, False, True]
    assert forbidden(made, other) == [False, True, False]
    assert made.insert([Vehicle(own, 1)]) == [2]


def test_a_record_names_its_photo():
    record = {"photo_id": "a/1", "vehicle_group": "g", "photo_hash": 5, "file_name": "x.jpg"}
    assert Photo.of(record) == Photo("a/1", "g", 5, "x.jpg")
    assert Photo.of({"image": 1}) is None
