"""``sav bench photos`` with trainings of a few photos and two iterations."""

import json
import logging

import pytest

from sav.cli import dispatch
from sav.engine.arguments import argument_parser
from sav.engine.run import main
from sav.errors import SAVError


@pytest.fixture
def model(root):
    """A run folder of a model that has seen three photos, none of the eight others."""
    options = ["DATASETS.TRAIN", "('bench_valid',)", "DATASETS.TEST", "()", "SOLVER.MAX_ITER", "1"]
    line = ["--config-file", str(root / "toy.yaml"), *options, "OUTPUT_DIR", str(root / "run")]
    main(argument_parser().parse_args(line))
    return root / "run"


def words(root, *more):
    files = ["--model", str(root / "run"), "--json", str(root / "toy" / "train.json")]
    config = ["--config-file", str(root / "toy.yaml")]
    return ["bench", "photos", *files, *config, "--output", str(root / "out"), *more]


def read(root, name):
    contents = json.loads((root / "out" / "data" / f"{name}.json").read_text())
    return {image["file_name"] for image in contents["images"]}


def put_in_groups(root, groups):
    file = root / "toy" / "train.json"
    contents = json.loads(file.read_text())
    for image, group in zip(contents["images"], groups, strict=True):
        image["group"] = group
    file.write_text(json.dumps(contents))


def test_a_few_photos_with_and_without_training_and_gallery(root, model, caplog, capsys):
    command = words(root, "--photos", "3", "--seeds", "2", "--iterations", "2")
    with caplog.at_level(logging.INFO):
        dispatch(command)
    table = (root / "out" / "table.md").read_text()
    assert capsys.readouterr().out.endswith(table)
    figures = json.loads((root / "out" / "results.json").read_text())
    rows = ["as it is", "gallery of the photos", "fine-tuned", "fine-tuned, and their gallery"]
    assert list(figures) == rows
    assert all(set(runs) == {"seed0", "seed1"} for runs in figures.values())
    # In this process: the trainings build theirs themselves.
    built = [record.getMessage() for record in caplog.records if "Gallery built" in record.msg]
    assert built == ["Gallery built: 3 vehicles"] * 2
    started = f"Weights loaded from {model / 'model_final.safetensors'}"
    for seed in ("seed0", "seed1"):
        learned, tested = read(root, f"{seed}_photos"), read(root, f"{seed}_others")
        assert (len(learned), len(tested)) == (3, 5)
        assert not learned & tested
        folder = root / "out" / "fine-tuned" / seed
        assert started in (folder / "log.txt").read_text()
        truth = json.loads((folder / "results.json").read_text())[f"{seed}_others"]
        assert figures["fine-tuned, and their gallery"][seed]["mIoU"] == truth["parts"]["mIoU"]
    assert read(root, "seed0_photos") != read(root, "seed1_photos")

    dispatch(command)
    assert capsys.readouterr().out.endswith(table)
    log = (root / "out" / "fine-tuned" / "seed0" / "log.txt").read_text()
    assert log.count("Engine: ") == 1


def test_no_other_photo_of_a_vehicle_that_was_learned_is_tested_on(root, model):
    put_in_groups(root, ["a", "a", "a", "a", "b", "b", "b", "b"])
    dispatch(words(root, "--photos", "1", "--seeds", "1", "--iterations", "1"))
    learned, tested = read(root, "seed0_photos"), read(root, "seed0_others")
    assert (len(learned), len(tested)) == (1, 4)


def test_photos_that_leave_none_to_test_on_are_one_clear_line(root, model):
    for many in ("8", "9"):
        with pytest.raises(
            SAVError, match=rf"^--photos {many}: .*train\.json has 8, .*give fewer$"
        ):
            dispatch(words(root, "--photos", many))
    put_in_groups(root, ["a"] * 8)
    with pytest.raises(SAVError, match=r"^--photos 3: .* none of another vehicle is left"):
        dispatch(words(root, "--photos", "3"))


def test_a_model_without_a_gallery_is_one_clear_line(root, model):
    with pytest.raises(SAVError, match=r"^--model .*run: it has no gallery"):
        dispatch(words(root, "MODEL.SAV.CONTEXT.ENABLED", "False"))
