"""``sav bench recipe`` on nine photos of bumpers, in stages of one iteration."""

import json
from argparse import ArgumentParser

import numpy as np
import pytest
from PIL import Image

from sav.bench.recipe import cut, stage_options
from sav.cli import dispatch
from sav.commands.bench import add_arguments
from sav.config import load_config
from sav.errors import SAVError
from sav.formats.masks import encode_mask
from sav.ontology import load_ontology

from ..engine.toy import CONFIG

SIZE = 240, 320
STAGE = """
DATASETS:
  ROOT: {root}
  PARTS: {{mine_train: mine.json, mine_valid: mine_valid.json, other: other.json, plates: no.json}}
  TRAIN: ("other", "mine_train"{plates})
  TRAIN_SHARES: ((0.5, {other}), (0.5, 0.4){share})
  TEST: ("mine_valid",)
"""


def write_photos(folder, name, count):
    names = load_ontology("dsmlr").class_names
    mask = np.zeros(SIZE, bool)
    mask[150:210, 60:260] = True
    images, annotations = [], []
    for number in range(1, count + 1):
        file = f"{name}{number}.png"
        scene = np.random.default_rng([number, *name.encode()]).integers(
            60, 200, (6, 8, 3), np.uint8
        )
        Image.fromarray(scene).resize(SIZE[::-1]).save(folder / file)
        images.append({"id": number, "file_name": file, "width": SIZE[1], "height": SIZE[0]})
        shape = {"segmentation": encode_mask(mask), "bbox": [60, 150, 200, 60], "area": 12000}
        part = {"category_id": names.index("front_bumper") + 1, "iscrowd": 0, "vehicle_id": 0}
        annotations.append({"id": number, "image_id": number, **shape, **part})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    contents = {"images": images, "annotations": annotations, "categories": categories}
    contents["info"] = {"ontology": "dsmlr"}
    (folder / f"{name}.json").write_text(json.dumps(contents))


@pytest.fixture
def stages(tmp_path):
    """Configs of two stages, the second one with plates."""
    for name, count in (("mine", 5), ("mine_valid", 4), ("other", 2)):
        write_photos(tmp_path, name, count)
    toy = CONFIG[: CONFIG.index("DATASETS:")] + CONFIG[CONFIG.index("MODEL:") :]
    toy = toy.replace("SAV: {DECODER", "SAV: {ONTOLOGY: vehicle, DECODER")
    texts = {
        "one": {"plates": "", "share": "", "other": 0.6},
        "two": {"plates": ', "plates"', "share": ", (0, 0.4)", "other": 0.2},
    }
    for name, words in texts.items():
        (tmp_path / f"{name}.yaml").write_text(toy + STAGE.format(root=tmp_path, **words))
    return [tmp_path / f"{name}.yaml" for name in texts]


def command(root, stages):
    names = ["--folded", "mine_train", "mine_valid", "--plated", "plates", "--folds", "2"]
    files = ["--config-files", *map(str, stages)]
    return ["recipe", *files, *names, "--output", str(root / "out"), "--iterations", "1"]


def parse(words):
    parser = ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_a_fold_takes_no_part_in_the_training_that_it_tests(stages, tmp_path):
    args = parse([*command(tmp_path, stages), "--folds", "3"])
    folds = cut(args)
    photos = [
        json.loads((tmp_path / "out/folds" / f"{f}.json").read_text())["images"] for f in folds
    ]
    assert sorted(map(len, photos)) == [3, 3, 3]
    options = stage_options(args, stages[1], folds, "fold1")
    cfg = load_config(stages[1], options)
    shares = dict(zip(cfg.DATASETS.TRAIN, cfg.DATASETS.TRAIN_SHARES, strict=True))
    assert shares == {
        "other": (0.5, 0.2),
        **dict.fromkeys(("fold0", "fold2"), (0.25, 0.2)),
        **dict.fromkeys(("fold0_plates", "fold2_plates"), (0.0, 0.2)),
    }
    assert cfg.DATASETS.TEST == ("fold1",)
    plated = json.loads((tmp_path / "out/folds/fold0_plates/instances_train.json").read_text())
    assert {image["id"] for image in plated["images"]} <= {image["id"] for image in photos[0]}


def test_a_stage_that_trains_on_none_of_the_folded_photos_is_refused(stages, tmp_path):
    args = parse([*command(tmp_path, stages), "DATASETS.TRAIN", "('other',)"])
    with pytest.raises(SAVError, match=r"one\.yaml: DATASETS\.TRAIN has none of --folded mine"):
        stage_options(args, stages[0], ["fold0", "fold1"], "fold0")


@pytest.mark.slow
def test_each_stage_starts_where_the_one_before_ended(stages, tmp_path, capsys):
    dispatch(["bench", *command(tmp_path, stages), "--parallel", "2"])
    assert "| stage 2 " in capsys.readouterr().out
    figures = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(figures) == ["stage 1", "stage 2"]
    assert all(set(runs) == {"fold0", "fold1"} for runs in figures.values())
    for fold in figures["stage 1"]:
        log = (tmp_path / "out" / "stage 2" / fold / "log.txt").read_text()
        start = tmp_path / "out" / "stage 1" / fold / "model_final.safetensors"
        assert f"Weights loaded from {start}" in log
