"""Vehicles move to other places; their parts stay annotated as they were."""

import numpy as np
import pytest
from PIL import Image

from sav.config import add_sav_config
from sav.d2 import DatasetCatalog, MetadataCatalog, get_cfg
from sav.d2 import transforms as T
from sav.data.annotations import vehicle_map_from_annotations
from sav.data.augmentation import AffineTransform
from sav.data.background import BackgroundTransform, RandomBackground
from sav.data.mapper import PartDatasetMapper
from sav.errors import SAVError
from sav.formats.masks import encode_mask

pytestmark = pytest.mark.usefixtures("catalogs_as_before")

SIZE = 80


def part(top, left, bottom, right, vehicle=0):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[top:bottom, left:right] = 1
    return {"category_id": 1, "segmentation": encode_mask(mask), "vehicle_id": vehicle}


@pytest.fixture
def record(tmp_path):
    """Two parts of one vehicle with a gap between them, in a blue photo."""
    Image.new("RGB", (SIZE, SIZE), (0, 0, 255)).save(tmp_path / "photo.png")
    parts = [part(20, 10, 30, 20), part(20, 50, 30, 60)]
    size = {"height": SIZE, "width": SIZE}
    return {"file_name": str(tmp_path / "photo.png"), **size, "annotations": parts}


def register(name, folder, **changes):
    """A data set of one red photo."""
    Image.new("RGB", (50, 70), (255, 0, 0)).save(folder / f"{name}.png")
    record = {"file_name": str(folder / f"{name}.png"), "annotations": [], **changes}
    DatasetCatalog.register(name, lambda: [record])
    MetadataCatalog.get(name).set(evaluator_type="sav_parts")


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_sav_config(cfg)
    options = ["SIZE", SIZE, "FLIP_PROB", 0.0, "SCALE", (1.0, 1.0), "ASPECT", (1.0, 1.0)]
    still = ["ROTATION", 0.0, "SHIFT", 0.0, "COLOR", 0.0, "GREY_PROB", 0.0]
    cfg.INPUT.SAV.merge_from_list([*options, *still])
    cfg.INPUT.SAV.merge_from_list(["BACKGROUND_PROB", 1.0, "BACKGROUNDS", ("rooms",)])
    return cfg


def test_a_vehicle_is_the_hull_of_its_parts(record):
    record["annotations"].append(part(60, 0, 70, 5, vehicle=1))
    expected = np.zeros((SIZE, SIZE), np.uint8)
    expected[20:30, 10:60] = 1  # and what lies between the two parts
    expected[60:70, 0:5] = 1
    np.testing.assert_array_equal(vehicle_map_from_annotations(record), expected)


def test_a_photo_without_parts_has_no_vehicle(record):
    record["annotations"] = []
    assert not vehicle_map_from_annotations(record).any()


def test_the_mapper_shows_another_photo_around_the_vehicle(cfg, record, tmp_path):
    register("rooms", tmp_path)
    out = PartDatasetMapper(cfg, is_train=True)(record)
    image = out["image"].numpy().transpose(1, 2, 0)
    inside = image[22:28, 12:58].astype(int)  # its border is soft
    assert np.abs(inside - (0, 0, 255)).max() < 10
    assert (image[:14] == (255, 0, 0)).all()
    assert (image[36:] == (255, 0, 0)).all()
    boxes = out["instances"].gt_boxes.tensor.tolist()
    assert boxes == [[10, 20, 20, 30], [50, 20, 60, 30]]


def test_the_vehicle_and_its_parts_shrink_together(cfg, record, tmp_path):
    register("rooms", tmp_path)
    cfg.INPUT.SAV.BACKGROUND_SCALE = (0.5, 0.5)
    mapper = PartDatasetMapper(cfg, is_train=True)
    corners = set()
    for seed in range(20):
        np.random.seed(seed)
        out = mapper(record)
        first, second = out["instances"].gt_boxes.tensor.tolist()
        left, top, *_ = first
        assert first == [left, top, left + 5, top + 5]
        assert second == [left + 20, top, left + 25, top + 5]
        image = out["image"].numpy().transpose(1, 2, 0).astype(int)
        inside = image[int(top) + 2, int(left) + 2 : int(left) + 23]
        assert np.abs(inside - (0, 0, 255)).max() < 60  # its border is soft
        assert (image == (255, 0, 0)).all(-1).mean() > 0.9
        corners.add((left, top))
    assert len(corners) > 10


def test_a_photo_without_a_vehicle_stays(cfg, record, tmp_path):
    register("rooms", tmp_path)
    out = PartDatasetMapper(cfg, is_train=True)({**record, "annotations": []})
    assert (out["image"].numpy().transpose(1, 2, 0) == (0, 0, 255)).all()


@pytest.mark.parametrize("size", [(40, 60), (1, 1), (3, 200)])
def test_any_piece_fits_any_photo(size, tmp_path):
    register("rooms", tmp_path)
    photo, vehicles = np.zeros((*size, 3), np.uint8), np.ones(size, np.uint8)
    for seed in range(20):
        np.random.seed(seed)
        random = RandomBackground(prob=1.0, scale=(0.1, 1.0), datasets=("rooms",))
        drawn = random.get_transform(photo, vehicles)
        shrink, background = drawn.transforms
        assert isinstance(shrink, AffineTransform)
        assert isinstance(background, BackgroundTransform)
        assert min(background.background.shape) > 0
        assert drawn.apply_image(photo).shape == photo.shape


def test_it_is_drawn_as_often_as_it_says(tmp_path):
    register("rooms", tmp_path)
    np.random.seed(0)
    random = RandomBackground(prob=0.25, scale=(1.0, 1.0), datasets=("rooms",))
    photo, vehicles = np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint8)
    drawn = [random.get_transform(photo, vehicles) for _ in range(400)]
    assert 80 < sum(isinstance(one, T.TransformList) for one in drawn) < 120


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ((), "needs data sets without a vehicle"),
        (("nowhere",), "'nowhere' is not registered"),
        (("cars",), "cars.png shows a vehicle"),
    ],
)
def test_backgrounds_that_are_none_are_refused(cfg, record, tmp_path, datasets, message):
    register("cars", tmp_path, annotations=[part(0, 0, 9, 9)])
    cfg.INPUT.SAV.BACKGROUNDS = datasets
    mapper = PartDatasetMapper(cfg, is_train=True)  # a model that predicts needs no such data
    with pytest.raises(SAVError, match=rf"INPUT.SAV.BACKGROUNDS: .*{message}"):
        mapper(record)
