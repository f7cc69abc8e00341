import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from sav.bench.folds import assign_folds, fold_options
from sav.config import load_config
from sav.d2 import DatasetCatalog
from sav.data.registration import register_part_datasets
from sav.errors import SAVError
from sav.gallery.photos import Photo


def photos(count):
    hashes = np.random.default_rng(0).integers(0, 2**63, count)
    return [Photo(f"a/{i}", hash=int(value)) for i, value in enumerate(hashes)]


def test_folds_are_of_one_size_and_always_the_same():
    places = assign_folds(photos(103), 5)
    assert sorted(Counter(places.tolist()).values()) == [20, 20, 21, 21, 21]
    assert (places == assign_folds(photos(103), 5)).all()


def test_a_vehicle_and_the_copies_of_a_photo_stay_together():
    known = photos(60)
    group = [Photo(f"b/{i}", group="claim 7") for i in range(9)]
    copies = [Photo("c/1", hash=known[0].hash ^ 0b101), Photo("c/2", hash=known[0].hash ^ 1)]
    # One photo of the group is a copy, too: all of these hang together.
    link = [Photo("d/1", group="claim 7", hash=known[0].hash)]
    places = assign_folds([*known, *group, *copies, *link], 4)
    together = [0, *range(60, 72)]
    assert len(set(places[together].tolist())) == 1
    assert sorted(np.bincount(places)) == [18, 18, 18, 18]


def test_more_folds_than_vehicles_are_refused():
    frames = [Photo(f"b/{i}", group=f"claim {i % 3}") for i in range(9)]
    with pytest.raises(SAVError, match="2 to 3 folds"):
        assign_folds(frames, 4)
    with pytest.raises(SAVError, match="--folds 1"):
        assign_folds(frames, 1)


def read(folder):
    return [json.loads(file.read_text()) for file in sorted(folder.glob("fold*.json"))]


def test_every_photo_is_in_one_fold_with_its_annotations(root, tmp_path):
    # A copy of a training photo, half as large and compressed, is among the test photos.
    images = root / "toy" / "images"
    picture = cv2.imread(str(images / "train2.png"))
    cv2.imwrite(str(images / "valid1.png"), cv2.resize(picture, (32, 24)).repeat(2, 0).repeat(2, 1))
    cfg = load_config(root / "toy.yaml")
    options = fold_options(cfg, 3, tmp_path / "folds")
    folds = read(tmp_path / "folds")
    names = [[Path(image["file_name"]).name for image in fold["images"]] for fold in folds]
    expected = [f"train{i}.png" for i in range(1, 9)] + [f"valid{i}.png" for i in range(1, 4)]
    assert sorted(name for fold in names for name in fold) == expected
    assert any({"train2.png", "valid1.png"} <= set(fold) for fold in names)
    for fold in folds:
        parts = Counter(annotation["image_id"] for annotation in fold["annotations"])
        assert parts == {image["id"]: 2 for image in fold["images"]}
        ids = [annotation["id"] for annotation in fold["annotations"]]
        assert len(set(ids)) == len(ids)
    run = load_config(root / "toy.yaml", options["fold1"])
    register_part_datasets(run)
    assert run.DATASETS.TRAIN == ("fold0", "fold2")
    assert run.DATASETS.TEST == ("fold1",)


def test_few_photos_to_train_on_are_drawn_from_the_other_folds(root, tmp_path):
    cfg = load_config(root / "toy.yaml")
    options = fold_options(cfg, 3, tmp_path / "folds", 4)
    run = load_config(root / "toy.yaml", options["fold1"])
    register_part_datasets(run)
    (name,) = run.DATASETS.TRAIN
    training, test = (
        {Path(record["file_name"]).name: record for record in DatasetCatalog.get(data_set)}
        for data_set in (name, "fold1")
    )
    assert len(training) == 4
    assert all(len(record["annotations"]) == 2 for record in training.values())
    assert not training.keys() & test.keys()
    assert fold_options(cfg, 3, tmp_path / "again", 4).keys() == options.keys()
    again = (tmp_path / "again" / f"{name}.json").read_text()
    assert again == (tmp_path / "folds" / f"{name}.json").read_text()
    with pytest.raises(SAVError, match="--photos 12: there are"):
        fold_options(cfg, 3, tmp_path / "more", 12)


def test_folds_of_other_photos_are_not_overwritten(root, tmp_path):
    cfg = load_config(root / "toy.yaml")
    fold_options(cfg, 3, tmp_path / "folds")
    before = read(tmp_path / "folds")
    fold_options(cfg, 3, tmp_path / "folds")
    with pytest.raises(SAVError, match="other photos"):
        fold_options(cfg, 4, tmp_path / "folds")
    assert read(tmp_path / "folds") == before


def test_folds_of_two_vocabularies_are_refused(root, other_vocabulary, tmp_path):
    names = ["DATASETS.PARTS.bench_other", "toy/other.json", "MODEL.SAV.ONTOLOGY"]
    both = ["DATASETS.TRAIN", "('bench_train', 'bench_other')"]
    cfg = load_config(root / "toy.yaml", [*names, "vehicle", *both])
    with pytest.raises(SAVError, match=r"'bench_other'.*one vocabulary"):
        fold_options(cfg, 2, tmp_path / "folds")
