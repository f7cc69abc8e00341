"""From a record to what the model takes."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sav.config import add_sav_config
from sav.d2 import get_cfg
from sav.d2 import transforms as T
from sav.data.annotations import load_instance_masks
from sav.data.mapper import PartDatasetMapper
from sav.errors import SAVError
from sav.formats.images import read_rgb
from sav.formats.masks import encode_mask
from sav.gallery.photos import photo_hash
from sav.ontology import load_ontology

ONTOLOGY = load_ontology("vehicleseg10k")
LEFT, RIGHT = ONTOLOGY.class_id("Left front door"), ONTOLOGY.class_id("Right front door")
WHEEL, PLATE = ONTOLOGY.class_id("Wheel"), ONTOLOGY.class_id("Plate")


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_sav_config(cfg)
    cfg.INPUT.SAV.SIZE = 64
    return cfg


def freeze(cfg, flip):
    """Switch off all randomness but the flip, which is decided."""
    cfg.INPUT.SAV.merge_from_list(
        ["FLIP_PROB", float(flip), "SCALE", (1.0, 1.0), "ASPECT", (1.0, 1.0), "ROTATION", 0.0]
    )
    cfg.INPUT.SAV.merge_from_list(["SHIFT", 0.0, "COLOR", 0.0, "GREY_PROB", 0.0])


@pytest.fixture
def record(tmp_path):
    """A red left door and a green wheel, the one as polygon, the other as a run-length code."""
    photo = np.zeros((128, 128, 3), np.uint8)
    photo[20:60, 10:50] = (255, 0, 0)
    photo[80:120, 60:120] = (0, 255, 0)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    polygon = [[10, 20, 50, 20, 50, 60, 10, 60]]
    annotations = [
        (LEFT, polygon, 4),
        (WHEEL, encode_mask(photo[..., 1] > 0), 5),
        (PLATE, [[0, 0, 2, 0, 2, 2, 0, 2]], 5),
    ]
    return {
        "file_name": str(tmp_path / "photo.png"),
        "height": 128,
        "width": 128,
        "image_id": 7,
        "photo_id": "set/7",
        "annotations": [
            {
                "category_id": class_id,
                "segmentation": segmentation,
                "vehicle_id": vehicle,
                "bbox": [0, 0, 1, 1],
                "iscrowd": 0,
            }
            for class_id, segmentation, vehicle in annotations
        ],
    }


def test_unmoved_record(cfg, record):
    freeze(cfg, flip=False)
    before = copy.deepcopy(record)
    out = PartDatasetMapper(cfg, is_train=True)(record)
    assert record == before
    assert "annotations" not in out
    assert (out["height"], out["width"], out["photo_id"]) == (128, 128, "set/7")
    assert out["image"].shape == (3, 64, 64)
    assert out["image"].dtype == torch.uint8
    instances = out["instances"]
    assert instances.image_size == (64, 64)
    # The plate ends with a single pixel and is dropped.
    assert instances.gt_classes.tolist() == [LEFT, WHEEL]
    assert instances.gt_vehicle_ids.tolist() == [4, 5]
    assert instances.gt_boxes.tensor.tolist() == [[5, 10, 25, 30], [30, 40, 60, 60]]
    masks = instances.gt_masks.tensor
    assert masks.dtype == torch.bool
    for mask, color in zip(masks, ([255, 0, 0], [0, 255, 0]), strict=True):
        inside = out["image"][:, mask]
        assert (inside == torch.tensor(color)[:, None]).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, RIGHT), ({"mirror_ids": {ONTOLOGY.name: list(range(len(ONTOLOGY)))}}, LEFT)],
)
def test_flip_swaps_sides(cfg, record, changes, expected):
    freeze(cfg, flip=True)
    out = PartDatasetMapper(cfg, is_train=True, **changes)(record)
    assert out["instances"].gt_classes.tolist() == [expected, WHEEL]
    assert out["instances"].gt_boxes.tensor.tolist() == [[39, 10, 59, 30], [4, 40, 34, 60]]
    assert (out["image"][0, out["instances"].gt_masks.tensor[0]] == 255).all()


@pytest.mark.parametrize("name", ["vehicle", "vehicleseg10k", "dsmlr", "carparts_seg"])
def test_flip_swaps_the_sides_of_each_view(cfg, record, name):
    cfg.MODEL.SAV.ONTOLOGY = "vehicle"
    freeze(cfg, flip=True)
    vocabulary = load_ontology(name)
    mapper = PartDatasetMapper(cfg, is_train=True)
    sided = [part.id for part in vocabulary.classes if part.side == "left"]
    central = next(part.id for part in vocabulary.classes if part.side == "none")
    for left in sided:
        classes = (left, central)
        annotations = [
            {**annotation, "category_id": class_id}
            for annotation, class_id in zip(record["annotations"], classes, strict=False)
        ]
        shown = {**record, "annotations": annotations, "vocabulary": name}
        found = mapper(shown)["instances"].gt_classes.tolist()
        right, same = (vocabulary.classes[class_id] for class_id in found)
        assert (right.side, right.mirror) == ("right", vocabulary.class_names[left])
        assert same.id == central


def test_random_augmentation_keeps_masks_on_their_parts(cfg, record):
    mapper = PartDatasetMapper(cfg, is_train=True)
    mapper.augmentations.augs = mapper.augmentations.augs[:1]  # colours stay, so parts show
    np.random.seed(0)
    classes = set()
    for _ in range(30):
        out = mapper(record)
        instances = out["instances"]
        for class_id, mask, box in zip(
            instances.gt_classes, instances.gt_masks.tensor, instances.gt_boxes.tensor, strict=True
        ):
            if class_id == PLATE:
                continue
            channel = 1 if class_id == WHEEL else 0
            photo = (out["image"][channel] > 127) & (out["image"][2] < 50)
            assert (photo & mask).sum() > 0.85 * mask.sum()
            assert mask.sum() > 0.85 * photo.sum()
            rows, columns = np.nonzero(mask.numpy())
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == tight
        classes.update(instances.gt_classes.tolist())
    assert {LEFT, RIGHT, WHEEL} <= classes


def test_seed_repeats_the_sample(cfg, record):
    mapper = PartDatasetMapper(cfg, is_train=True)

    def draw(seed):
        np.random.seed(seed)
        return mapper(record)["image"]

    assert torch.equal(draw(5), draw(5))
    assert not torch.equal(draw(5), draw(6))


def test_image_without_annotations(cfg, record):
    record["annotations"] = []
    instances = PartDatasetMapper(cfg, is_train=True)(record)["instances"]
    assert len(instances) == 0
    assert instances.gt_masks.tensor.shape == (0, 64, 64)
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.dtype == torch.int64


def test_crowds_are_left_out(cfg, record):
    freeze(cfg, flip=False)
    record["annotations"][0]["iscrowd"] = 1
    instances = PartDatasetMapper(cfg, is_train=True)(record)["instances"]
    assert instances.gt_classes.tolist() == [WHEEL]


def test_masks_are_brought_to_the_canvas_as_if_all_had_been_decoded(cfg, record):
    mapper = PartDatasetMapper(cfg, is_train=True)
    masks, _, _ = load_instance_masks(record)
    np.random.seed(4)
    transform = mapper.augmentations(T.AugInput(read_rgb(record["file_name"])))
    canvas = [transform.apply_segmentation(mask) for mask in masks]
    np.random.seed(4)
    found = mapper(record)["instances"].gt_masks.tensor.numpy()
    assert np.array_equal(found, [mask for mask in canvas if mask.sum() >= 4])


# Forty masks of 6 megapixels: 240 MB when all exist at once.
PEAK = """
import resource, sys
import numpy as np
from PIL import Image
from sav.config import add_sav_config
from sav.d2 import get_cfg
from sav.data.annotations import part_map_from_annotations
from sav.data.mapper import PartDatasetMapper
from sav.evaluation.photo import Truth
from sav.evaluation.vehicle_metrics import VehicleParts

path = sys.argv[1]
Image.new("RGB", (3000, 2000)).save(path)
polygon = [[100, 100, 2900, 100, 2900, 1900, 100, 1900]]
annotation = {"category_id": 0, "segmentation": polygon, "iscrowd": 0}
record = {"file_name": path, "height": 2000, "width": 3000, "annotations": [annotation]}
cfg = get_cfg()
add_sav_config(cfg)
cfg.INPUT.SAV.SIZE = 64
use = {
    "mapper": PartDatasetMapper(cfg, is_train=True),
    "part map": part_map_from_annotations,
    "vehicles": lambda record: VehicleParts.of_truth(Truth.of(record)),
}[sys.argv[2]]
use(record)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
record["annotations"] *= 40
use(record)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in KiB")
@pytest.mark.parametrize("use", ["mapper", "part map", "vehicles"])
def test_masks_at_full_size_exist_one_at_a_time(tmp_path, use):
    command = [sys.executable, "-c", PEAK, str(tmp_path / "photo.jpg"), use]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(done.stdout) < 30  # MB


def test_every_view_has_the_hash_of_its_photo(cfg, record):
    train, test = (PartDatasetMapper(cfg, is_train=flag) for flag in (True, False))
    own = photo_hash(read_rgb(record["file_name"]))
    assert own is not None
    assert {train(record)["photo_hash"] for _ in range(3)} == {own}
    assert test(record)["photo_hash"] == own


def test_annotations_are_not_looked_at_when_testing(cfg, record):
    record["annotations"] = "nonsense"
    out = PartDatasetMapper(cfg, is_train=False)(record)
    assert out.keys() == {
        "file_name",
        "height",
        "width",
        "image_id",
        "photo_id",
        "photo_hash",
        "image",
        "crop",
    }
    assert out["image"].shape == (3, 64, 64)
    whole = out["crop"]((0, 0, out["width"], out["height"]))
    assert torch.equal(whole["image"], out["image"])
    cfg.MODEL.SAV.TEST.CROPS = 0.0
    assert "crop" not in PartDatasetMapper(cfg, is_train=False)(record)


def test_exif_rotation_is_applied(cfg, tmp_path):
    photo = np.random.default_rng(0).integers(0, 255, (20, 40, 3), dtype=np.uint8)
    turned = photo.transpose(1, 0, 2)
    upright = [
        photo,
        photo[:, ::-1],
        photo[::-1, ::-1],
        photo[::-1],
        turned,
        turned[:, ::-1],
        turned[::-1, ::-1],
        turned[::-1],
    ]
    for orientation, expected in enumerate(upright, start=1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(photo).save(path, exif=exif)
        np.testing.assert_array_equal(read_rgb(path), expected)
        out = PartDatasetMapper(cfg, is_train=False)({"file_name": str(path)})
        assert (out["height"], out["width"]) == expected.shape[:2]
        assert out["image"].shape[1:] == ((64, 32) if orientation > 4 else (32, 64))


def test_bad_photos_are_named(cfg, record, tmp_path):
    mapper = PartDatasetMapper(cfg, is_train=False)
    with pytest.raises(SAVError, match="data set says 64x128"):
        mapper({**record, "width": 64})
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(SAVError, match=r"broken\.jpg: the image cannot be read"):
        mapper({**record, "file_name": str(broken)})
    with pytest.raises(SAVError, match=r"gone\.jpg: there is no such image"):
        mapper({**record, "file_name": str(tmp_path / "gone.jpg")})


def test_the_mapper_hashes_photos_without_a_search_library():
    """Loader workers import it; each would load FAISS for nothing."""
    code = "import sys, sav.data.mapper; sys.exit('faiss' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
