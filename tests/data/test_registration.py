"""Data sets of the config in Detectron2's catalogs."""

import json
import logging
import sys
from pathlib import Path

import pytest

from sav.config import add_sav_config
from sav.d2 import DatasetCatalog, MetadataCatalog, get_cfg
from sav.data.annotations import load_instance_masks, part_map_from_annotations
from sav.data.registration import load_training_records, register_part_datasets
from sav.errors import SAVError
from sav.formats.vehicleseg10k import VehicleSegSource, convert_vehicleseg10k
from sav.ontology import load_ontology
from tests.fixtures.vehicleseg_folder import SIZE


@pytest.fixture
def cfg(folder):
    """A config whose one data set, named after the test's folder, is in use."""
    folder.add("1")
    folder.add("2", [])
    ontology = load_ontology("vehicleseg10k")
    out = folder.root / "coco"
    convert_vehicleseg10k(VehicleSegSource(folder.root, ontology), out, splits=["train"], workers=1)
    cfg = get_cfg()
    add_sav_config(cfg)
    name = f"{folder.root.parent.name}_cars"
    cfg.DATASETS.ROOT = str(folder.root)
    cfg.DATASETS.PARTS[name] = "coco/instances_train.json"
    cfg.DATASETS.TRAIN = (name,)
    cfg.DATASETS.TEST = ()
    yield cfg
    for registered in cfg.DATASETS.PARTS:
        if registered in DatasetCatalog.list():
            DatasetCatalog.remove(registered)
            MetadataCatalog.remove(registered)


def test_records_and_metadata(cfg):
    register_part_datasets(cfg)
    register_part_datasets(cfg)
    (name,) = cfg.DATASETS.TRAIN
    meta = MetadataCatalog.get(name)
    ontology = load_ontology("vehicleseg10k")
    assert meta.thing_classes == ontology.class_names
    assert meta.thing_colors == ontology.colors
    assert (meta.ontology, meta.evaluator_type) == ("vehicleseg10k", "sav_parts")
    full, empty = DatasetCatalog.get(name)
    assert [full["photo_id"], empty["photo_id"]] == [f"{name}/1", f"{name}/2"]
    assert {a["vehicle_id"] for a in full["annotations"]} == {0}
    masks, classes, vehicles = load_instance_masks(full)
    assert masks.shape == (5, *SIZE)
    assert classes.tolist() == [6, 0, 5, 2, 2]
    assert vehicles.tolist() == [0] * 5
    parts = part_map_from_annotations(full)
    for mask, class_id in zip(masks, classes, strict=True):
        assert (parts[mask.astype(bool)] == class_id + 1).all()
    assert (parts > 0).sum() == masks.sum()
    assert part_map_from_annotations(empty).max() == 0


def test_images_say_which_vehicle_they_show(cfg, folder):
    path = folder.root / "coco" / "instances_train.json"
    contents = json.loads(path.read_text())
    contents["images"][1]["group"] = "claim 7"
    path.write_text(json.dumps(contents))
    register_part_datasets(cfg)
    first, second = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    assert "vehicle_group" not in first
    assert second["vehicle_group"] == "claim 7"


def opened(path, action):
    """How often Python code opens a file for reading while it does something."""
    count = 0

    def note(event, args):
        nonlocal count
        count += watching and event == "open" and str(args[0]) == str(path)

    watching = True
    sys.addaudithook(note)
    action()
    watching = False
    return count


def test_a_file_is_read_once_and_again_when_it_has_changed(cfg, folder):
    path = folder.root / "coco" / "instances_train.json"
    (name,) = cfg.DATASETS.TRAIN
    first = []

    def use():
        register_part_datasets(cfg)
        first.extend(DatasetCatalog.get(name))

    assert opened(path, use) == 1
    photo = Path(first[0]["file_name"])
    photo.rename(photo.with_suffix(".moved"))  # whether photos exist is looked up once too
    second = []
    assert opened(path, lambda: second.extend(DatasetCatalog.get(name))) == 0
    assert second == first
    contents = json.loads(path.read_text())
    contents["images"][1]["group"] = "claim 7"
    path.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="no such image"):
        DatasetCatalog.get(name)
    photo.with_suffix(".moved").rename(photo)
    assert DatasetCatalog.get(name)[1]["vehicle_group"] == "claim 7"


def test_callers_may_change_their_records(cfg):
    register_part_datasets(cfg)
    (name,) = cfg.DATASETS.TRAIN
    first, _ = DatasetCatalog.get(name)
    first["photo_id"] = "mine"
    first["annotations"][0]["category_id"] = 99
    first["annotations"].pop()
    again, _ = DatasetCatalog.get(name)
    assert again["photo_id"] == f"{name}/1"
    assert len(again["annotations"]) == 5
    assert again["annotations"][0]["category_id"] != 99


def test_environment_variable_is_the_default_root(monkeypatch):
    monkeypatch.setenv("SAV_DATASETS", "elsewhere")
    cfg = get_cfg()
    add_sav_config(cfg)
    assert cfg.DATASETS.ROOT == "elsewhere"


def test_plain_coco_file_beside_its_images(cfg, folder):
    path = folder.root / "coco" / "instances_train.json"
    contents = json.loads(path.read_text())
    del contents["info"]
    for annotation in contents["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        del annotation["vehicle_id"]
    (folder.root / "images" / "train" / "plain.json").write_text(json.dumps(contents))
    cfg.DATASETS.PARTS[cfg.DATASETS.TRAIN[0]] = "images/train/plain.json"
    register_part_datasets(cfg)
    record, _ = DatasetCatalog.get(cfg.DATASETS.TRAIN[0])
    masks, _, vehicles = load_instance_masks(record)
    assert vehicles.tolist() == [0] * 5
    areas = [w * h for _, _, w, h in (a["bbox"] for a in record["annotations"])]
    assert masks.sum(axis=(1, 2)).tolist() == areas
    # Small parts lie over large ones where boxes overlap.
    assert (part_map_from_annotations(record)[masks[2].astype(bool)] == 6).all()


def remove_file(cfg, path):
    path.unlink()
    return "has no annotation file; make it with 'sav prepare vehicleseg10k"


def remove_image(cfg, path):
    next(path.parents[1].glob("images/train/2.jpg")).unlink()
    return "no such image; 1 of the 2 images"


def remove_images(cfg, path):
    (path.parents[1] / "images").rename(path.parents[1] / "moved")
    return "image folder .* does not exist"


def image_root(folder):
    def change(cfg, path):
        contents = json.loads(path.read_text())
        contents["info"]["image_root"] = folder
        path.write_text(json.dumps(contents))
        (path.parent / "loop").symlink_to("loop")
        return "image folder .* does not exist"

    return change


def wrong_model(cfg, path):
    cfg.MODEL.SAV.ONTOLOGY = "dsmlr"
    return "MODEL.SAV.ONTOLOGY is dsmlr"


def unknown_vocabulary(cfg, path):
    path.write_text(path.read_text().replace('"ontology": "vehicleseg10k"', '"ontology": "mine"'))
    return "instances_train.json: no vocabulary 'mine' is known; add its YAML file to MODEL.SAV"


def wrong_category(cfg, path):
    path.write_text(path.read_text().replace('"Wheel"', '"Spoiler"'))
    return "category 'Spoiler' is not in the ontology"


def broken_file(cfg, path):
    path.write_text("{")
    return "not valid JSON"


def unknown_name(cfg, path):
    cfg.DATASETS.TEST = ("no_such_set",)
    return "'no_such_set' is not registered"


@pytest.mark.parametrize(
    "spoil",
    [
        remove_file,
        remove_image,
        remove_images,
        *map(image_root, ["x" * 5000, "a\0b", "\ud800", "loop"]),
        wrong_model,
        unknown_vocabulary,
        wrong_category,
        broken_file,
        unknown_name,
    ],
)
def test_what_is_wrong_is_said_in_one_line(cfg, folder, spoil):
    message = spoil(cfg, folder.root / "coco" / "instances_train.json")
    with pytest.raises(SAVError, match=message):
        register_part_datasets(cfg)
        DatasetCatalog.get(cfg.DATASETS.TRAIN[0])


@pytest.fixture
def log(caplog, monkeypatch):
    # An earlier test may have set the log up.
    monkeypatch.setattr(logging.getLogger("sav"), "propagate", True)
    return caplog


def change(cfg, folder, change_annotations):
    path = folder.root / "coco" / "instances_train.json"
    contents = json.loads(path.read_text())
    contents["annotations"] = change_annotations(contents["annotations"])
    path.write_text(json.dumps(contents))
    register_part_datasets(cfg)
    return path


def test_a_test_needs_all_annotations(cfg, folder):
    def lose_one(annotations):
        annotations[2]["segmentation"] = []
        return annotations

    change(cfg, folder, lose_one)
    cfg.DATASETS.TEST = cfg.DATASETS.TRAIN
    with pytest.raises(SAVError, match=r"1 of its annotations cannot be used, .*: annotation 3: "):
        register_part_datasets(cfg)


def test_lost_annotations_are_said_once_and_loudly(cfg, folder, log):
    def lose_some(annotations):
        return [*annotations, *({**annotations[0], "id": i, "image_id": 7} for i in range(50, 55))]

    path = change(cfg, folder, lose_some)
    for _ in range(2):
        assert len(load_training_records(cfg.DATASETS.TRAIN[0])) == 2
    (warning,) = [r.getMessage() for r in log.records if r.levelname == "WARNING"]
    assert warning.startswith(f"{path.resolve()}: 5 ANNOTATIONS ARE LOST, and 0 photos")
    assert "annotation 52: there is no image 7; ..." in warning


def test_photos_of_crowds_alone_do_not_say_that_nothing_is_there(cfg, folder, log):
    def all_crowds(annotations):
        return [{**annotation, "iscrowd": 1} for annotation in annotations]

    change(cfg, folder, all_crowds)
    (empty,) = load_training_records(cfg.DATASETS.TRAIN[0])
    assert empty["file_name"].endswith("2.jpg")
    assert "5 crowd annotations (iscrowd 1) ARE NOT USED, and 1 photos" in log.text


def test_one_name_for_two_files_is_refused(cfg, folder):
    register_part_datasets(cfg)
    cfg.DATASETS.PARTS[cfg.DATASETS.TRAIN[0]] = "coco/other.json"
    with pytest.raises(SAVError, match="already registered"):
        register_part_datasets(cfg)


def test_unused_data_sets_may_be_missing(cfg, tmp_path):
    unused = f"{cfg.DATASETS.TRAIN[0]}_unused"
    cfg.DATASETS.PARTS[unused] = "coco/missing.json"
    register_part_datasets(cfg)
    with pytest.raises(SAVError, match="has no annotation file"):
        DatasetCatalog.get(unused)
