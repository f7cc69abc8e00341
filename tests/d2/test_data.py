import copy
import itertools
from contextlib import contextmanager

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch.testing._internal.distributed.fake_pg import FakeStore

from sav.d2 import (
    BitMasks,
    Boxes,
    BoxMode,
    DatasetCatalog,
    InferenceSampler,
    Instances,
    MetadataCatalog,
    PolygonMasks,
    TrainingSampler,
    build_detection_test_loader,
    build_detection_train_loader,
    detection_utils,
    get_cfg,
)
from sav.d2 import transforms as T
from sav.errors import SAVError


def take(iterable, count):
    return list(itertools.islice(iterable, count))


def test_training_stream_is_endless_permutations_from_a_seed():
    first, second = take(TrainingSampler(5, seed=3), 10), take(TrainingSampler(5, seed=3), 10)
    assert first == second
    assert sorted(first[:5]) == sorted(first[5:]) == list(range(5))
    assert take(TrainingSampler(5, seed=4), 10) != first
    assert take(TrainingSampler(3, shuffle=False), 5) == [0, 1, 2, 0, 1]
    with pytest.raises(ValueError, match="0"):
        TrainingSampler(0)


def test_inference_sampler_sees_all_once():
    sampler = InferenceSampler(5)
    assert list(sampler) == [0, 1, 2, 3, 4]
    assert len(sampler) == 5


@contextmanager
def process(rank, world_size):
    """Be one process of several, as far as ranks go."""
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("size", "shards"), [(6, [2, 2, 2]), (7, [3, 2, 2]), (5, [2, 2, 1]), (2, [1, 1, 0])]
)
def test_inference_shards_are_contiguous_and_may_be_uneven(size, shards):
    found = []
    for rank in range(3):
        with process(rank, 3):
            sampler = InferenceSampler(size)
            assert len(sampler) == shards[rank]
            found += list(sampler)
    assert found == list(range(size))


def draw(record):
    """A mapper that shows which random numbers it was given."""
    return {**record, "numpy": np.random.rand(), "torch": torch.rand(1).item()}


RECORDS = [{"image_id": i, "width": 40 + 20 * (i % 2), "height": 50} for i in range(8)]


def train_loader(**kwargs):
    options = {"mapper": draw, "total_batch_size": 2, "aspect_ratio_grouping": False, **kwargs}
    return build_detection_train_loader(RECORDS, sampler=TrainingSampler(8, seed=5), **options)


def test_train_batches_are_lists_of_what_the_mapper_makes():
    for workers in (0, 2):
        batches = take(train_loader(num_workers=workers), 4)
        assert [len(batch) for batch in batches] == [2] * 4
        ids = [item["image_id"] for batch in batches for item in batch]
        assert ids == take(TrainingSampler(8, seed=5), 8)
    assert "numpy" not in RECORDS[0]


def test_randomness_belongs_to_the_place_in_the_stream():
    """The same samples and augmentations, whatever the workers and wherever one starts."""
    whole = take(train_loader(num_workers=0), 6)
    assert take(train_loader(num_workers=2), 6) == whole
    resumed = train_loader(num_workers=1)
    resumed.start_at(4)
    assert take(resumed, 2) == whole[4:]
    values = [item["numpy"] for batch in whole for item in batch]
    assert len(set(values)) == len(values)


def test_several_processes_draw_what_one_draws():
    """Process r of n has every n-th sample of the stream, with the same augmentation."""
    samples = [item for batch in take(train_loader(total_batch_size=4), 4) for item in batch]
    for rank in range(2):
        with process(rank, 2):
            batches = take(train_loader(total_batch_size=4), 4)
        assert [len(batch) for batch in batches] == [2] * 4
        assert [item for batch in batches for item in batch] == samples[rank::2]


def test_a_batch_that_does_not_divide_is_one_clear_line():
    with process(0, 3), pytest.raises(SAVError, match=r"IMS_PER_BATCH 4.*3 processes"):
        train_loader(total_batch_size=4)


def test_data_sets_of_different_classes_do_not_mix(dataset):
    DatasetCatalog.register("other", lambda: [{"image_id": 1, "annotations": []}])
    MetadataCatalog.get("other").set(thing_classes=["roof"])
    try:
        cfg = get_cfg()
        with pytest.raises((AssertionError, ValueError), match="thing_classes"):
            build_detection_test_loader(cfg, [dataset, "other"], mapper=dict)
        cfg.DATASETS.TRAIN = ("other",)
        with pytest.raises(AssertionError):
            build_detection_train_loader(cfg, mapper=dict)
    finally:
        DatasetCatalog.remove("other")
        MetadataCatalog.remove("other")


def test_mapping_in_this_process_leaves_its_randomness_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    take(train_loader(num_workers=0), 2)
    assert torch.rand(1) == expected


def test_aspect_ratio_groups_do_not_mix():
    loader = build_detection_train_loader(
        RECORDS, mapper=None, sampler=TrainingSampler(8, seed=0), total_batch_size=2
    )
    whole = take(loader, 6)
    for batch in whole:
        assert len({item["width"] > item["height"] for item in batch}) == 1
    loader.start_at(3)
    assert take(loader, 3) == whole[3:]


def test_train_loader_from_config_leaves_out_empty_images(dataset):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (dataset,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    cfg.SOLVER.IMS_PER_BATCH = 3
    loader = build_detection_train_loader(cfg, mapper=lambda record: record)
    assert {r["image_id"] for batch in take(loader, 4) for r in batch} == {1, 2, 3}
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    loader = build_detection_train_loader(cfg, mapper=lambda record: record)
    assert {r["image_id"] for batch in take(loader, 4) for r in batch} == {1, 2, 3, 4}


def test_seed_of_the_config_orders_the_stream(dataset):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN, cfg.SEED, cfg.SOLVER.IMS_PER_BATCH = (dataset,), 3, 1
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    orders = [
        [b[0]["image_id"] for b in take(build_detection_train_loader(cfg, mapper=dict), 9)]
        for _ in range(2)
    ]
    assert orders[0] == orders[1]


def test_test_loader(dataset):
    cfg = get_cfg()
    cfg.DATALOADER.NUM_WORKERS = 0
    batches = list(build_detection_test_loader(cfg, dataset, mapper=lambda record: record))
    assert [[r["image_id"] for r in batch] for batch in batches] == [[1], [2], [3], [4]]
    loader = build_detection_test_loader(RECORDS, mapper=None, batch_size=3)
    assert [len(batch) for batch in loader] == [3, 3, 2]
    assert len(loader) == 3


def refuse(record):
    raise SAVError(f"{record['image_id']}.jpg: cannot be read")


def test_an_error_in_a_worker_stays_one_line():
    loader = build_detection_test_loader(RECORDS, mapper=refuse, num_workers=1)
    with pytest.raises(SAVError, match=r"^0\.jpg: cannot be read$"):
        next(iter(loader))


def test_read_image_applies_exif_and_formats(tmp_path):
    image = Image.new("RGB", (6, 4), (200, 100, 0))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "a.png", exif=exif)
    rgb = detection_utils.read_image(str(tmp_path / "a.png"), "RGB")
    assert rgb.shape == (6, 4, 3)
    assert rgb.dtype == np.uint8
    assert rgb[0, 0].tolist() == [200, 100, 0]
    assert detection_utils.read_image(str(tmp_path / "a.png"), "BGR")[0, 0].tolist() == [
        0,
        100,
        200,
    ]
    Image.new("P", (3, 2)).save(tmp_path / "p.png")
    assert detection_utils.read_image(str(tmp_path / "p.png"), "RGB").shape == (2, 3, 3)
    assert detection_utils.read_image(str(tmp_path / "p.png"), "L").shape == (2, 3, 1)


def test_unreadable_images_are_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no image")
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:500])
    for name in ("missing.jpg", "broken.jpg", "cut.jpg"):
        with pytest.raises(SAVError, match=name):
            detection_utils.read_image(str(tmp_path / name), "RGB")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(SAVError, match="too large"):
        detection_utils.read_image(str(tmp_path / "whole.jpg"), "RGB")


def test_image_size_is_checked():
    record = {"file_name": "a.png", "width": 6, "height": 4}
    detection_utils.check_image_size(record, np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(detection_utils.SizeMismatchError, match=r"a\.png"):
        detection_utils.check_image_size(record, np.zeros((6, 4, 3), np.uint8))
    record = {}
    detection_utils.check_image_size(record, np.zeros((4, 6, 3), np.uint8))
    assert record == {"width": 6, "height": 4}


def annotation(segmentation):
    return {
        "bbox": [1, 1, 3, 2],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": 4,
        "segmentation": segmentation,
    }


def test_annotations_of_every_kind_become_bit_masks():
    mask = np.zeros((5, 6), np.uint8)
    mask[1:3, 1:4] = 1
    rle = mask_util.encode(np.asfortranarray(mask))
    polygon = [[1, 1, 4, 1, 4, 3, 1, 3]]
    annotations = [annotation(kind) for kind in (polygon, rle, mask)]
    instances = detection_utils.annotations_to_instances(annotations, (5, 6), "bitmask")
    assert instances.gt_boxes.tensor.tolist() == [[1, 1, 4, 3]] * 3
    assert instances.gt_classes.tolist() == [4, 4, 4]
    assert instances.gt_classes.dtype == torch.int64
    for found in instances.gt_masks.tensor:
        assert torch.equal(found, torch.from_numpy(mask).bool())


def test_polygons_stay_polygons_when_asked():
    instances = detection_utils.annotations_to_instances(
        [annotation([[1, 1, 4, 1, 4, 3, 1, 3]])], (5, 6), "polygon"
    )
    assert isinstance(instances.gt_masks, PolygonMasks)
    assert instances.gt_masks.polygons[0][0].tolist() == [1, 1, 4, 1, 4, 3, 1, 3]


def test_rle_annotations_become_bit_masks_whatever_is_asked_for():
    mask = np.zeros((5, 6), np.uint8)
    mask[1:3, 1:4] = 1
    kinds = ([[1, 1, 4, 1, 4, 3, 1, 3]], mask_util.encode(np.asfortranarray(mask)))
    instances = detection_utils.annotations_to_instances(
        [annotation(kind) for kind in kinds], (5, 6), mask_format="polygon"
    )
    assert instances.gt_masks.tensor.sum(dim=(1, 2)).tolist() == [6, 6]


def test_an_image_without_annotations_has_empty_masks():
    instances = detection_utils.annotations_to_instances([], (5, 6), "bitmask")
    assert len(instances) == 0
    assert instances.gt_masks.tensor.shape == (0, 5, 6)
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert len(detection_utils.filter_empty_instances(instances)) == 0


def detectron2_mapper(record, mask_format):
    """A mapper as projects on Detectron2 write it."""
    record = copy.deepcopy(record)
    image = detection_utils.read_image(record["file_name"], format="RGB")
    detection_utils.check_image_size(record, image)
    inputs = T.AugInput(image)
    transforms = T.AugmentationList([T.ResizeShortestEdge(20), T.RandomFlip(prob=1.0)])(inputs)
    size = inputs.image.shape[:2]
    annotations = [
        detection_utils.transform_instance_annotations(a, transforms, size)
        for a in record.pop("annotations")
        if not a.get("iscrowd", 0)
    ]
    instances = detection_utils.annotations_to_instances(annotations, size, mask_format)
    record["instances"] = detection_utils.filter_empty_instances(instances)
    record["image"] = torch.from_numpy(np.ascontiguousarray(inputs.image.transpose(2, 0, 1)))
    return record


@pytest.mark.parametrize("mask_format", ["polygon", "bitmask"])
def test_a_mapper_of_detectron2_s_parts(dataset, mask_format):
    records = DatasetCatalog.get(dataset)
    records[0]["annotations"][0]["iscrowd"] = 1
    before = copy.deepcopy(records)
    mapped = [detectron2_mapper(record, mask_format) for record in records]
    assert records == before
    for out in mapped:
        assert out["image"].shape == (3, 20, 30)
        assert out["image"].dtype == torch.uint8
        assert (out["width"], out["height"]) == (60, 40)
    assert [out["instances"].gt_classes.tolist() for out in mapped] == [[1], [0, 1], [0, 1], []]
    assert [len(out["instances"].gt_masks) for out in mapped] == [1, 2, 2, 0]
    assert mapped[1]["instances"].gt_boxes.tensor.tolist() == [[23, 2, 28, 8], [5, 5, 15, 17.5]]
    if mask_format == "polygon":
        assert mapped[1]["instances"].gt_masks.polygons[1][0][1::2].tolist() == [5, 5, 17.5, 17.5]


def test_empty_instances_are_dropped():
    instances = Instances((5, 6))
    instances.gt_boxes = Boxes([[0, 0, 2, 2], [0, 0, 2, 2], [1, 1, 1, 3]])
    masks = torch.ones(3, 5, 6, dtype=torch.bool)
    masks[1] = False
    instances.gt_masks = BitMasks(masks)
    assert len(detection_utils.filter_empty_instances(instances)) == 1
