"""Each experiment once, with trainings of a few photos and two iterations."""

import json
import logging
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from sav.bench import unseen, unseen_data
from sav.bench.ablation import VARIANTS
from sav.bench.vocabularies import joint_options, plan
from sav.cli import dispatch
from sav.config import load_config
from sav.engine.arguments import argument_parser
from sav.engine.run import main
from sav.errors import SAVError
from sav.ontology import load_ontology


def words(root, name, *more, config="toy.yaml"):
    paths = ["--config-file", str(root / config), "--output", str(root / "out")]
    return ["bench", name, *paths, *more]


@pytest.mark.parametrize(
    "name", ["ablation", "peers", "unseen", "views", "photos", "vocabularies", "held-out", "recipe"]
)
def test_every_experiment_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch(["bench", name, "--help"])
    assert end.value.code == 0
    assert "KEY VALUE" in capsys.readouterr().out


def train(config, folder, *options):
    line = ["--config-file", str(config), *options, "OUTPUT_DIR", str(folder)]
    main(argument_parser().parse_args(line))


def test_an_ablation_goes_on_where_it_was_and_keeps_what_is_finished(root, capsys):
    folders = {name: root / "out" / name / "seed0" for name in ("full", "no-graph")}
    # As if it had been interrupted after the last checkpoint.
    options = [*VARIANTS["no-graph"], "SEED", "0", "SOLVER.MAX_ITER", "2"]
    train(root / "toy.yaml", folders["no-graph"], *options)
    (folders["no-graph"] / "results.json").unlink()
    capsys.readouterr()

    command = words(
        root, "ablation", "--variants", "no-graph", "no-gallery", "--seeds", "1", "--parallel", "2"
    )
    dispatch([*command, "--iterations", "2"])
    printed = capsys.readouterr().out
    assert "| full " in printed
    assert "| no-graph " in printed
    assert "| no-gallery " in printed
    table = (root / "out" / "table.md").read_text()
    assert printed.endswith(table)
    figures = json.loads((root / "out" / "results.json").read_text())
    truth = json.loads((folders["full"] / "results.json").read_text())["bench_valid"]
    assert figures["full"]["seed0"]["mIoU"] == truth["parts"]["mIoU"]
    # The second start of the interrupted one has trained nothing again.
    iterations = [json.loads(x)["iteration"] for x in (folders["no-graph"] / "metrics.json").open()]
    assert iterations.count(1) == 1

    dispatch([*command, "--iterations", "2"])
    assert capsys.readouterr().out.endswith(table)
    starts = {n: (f / "log.txt").read_text().count("Engine: ") for n, f in folders.items()}
    assert starts == {"full": 1, "no-graph": 2}
    with pytest.raises(SAVError, match="'MAX_ITER: 2' instead of 'MAX_ITER: 3'"):
        dispatch([*command, "--iterations", "3"])


def test_an_unknown_variant_is_one_clear_line(root):
    with pytest.raises(SAVError, match=r"^variant 'no-grahp': not known; choose some of full, .*$"):
        dispatch(words(root, "ablation", "--variants", "no-grahp"))


def test_every_variant_is_a_config(root):
    usual = load_config(root / "toy.yaml").dump()
    dumps = {
        name: load_config(root / "toy.yaml", opts, experiment=True).dump()
        for name, opts in VARIANTS.items()
    }
    assert dumps.pop("full") == usual
    assert len({usual, *dumps.values()}) == len(VARIANTS)


def test_an_ablation_over_folds(root, finish, capsys):
    for fold, figure in ((0, 40.0), (1, 60.0)):
        finish(root / "out" / "full" / f"fold{fold}", f"fold{fold}", mIoU=figure)
    dispatch(words(root, "ablation", "--variants", "full", "--folds", "2"))
    assert "50.0 ± 14.1" in capsys.readouterr().out
    assert len(list((root / "out" / "folds").iterdir())) == 2


def test_two_vocabularies_are_compared_fold_by_fold(root, other_vocabulary, finish, capsys):
    for fold, figure in (("fold0", 53.0), ("fold1", 57.0)):
        finish(root / "out" / "alone" / fold, fold, mIoU=figure - 3)
        finish(root / "out" / "joint" / fold, fold, mIoU=figure)
    more = ["--with", str(root / "toy.yaml"), "--folds", "2", "--iterations", "60"]
    dispatch(words(root, "vocabularies", *more, config="other.yaml"))
    printed = capsys.readouterr().out
    assert "+3.0 ± 0.0" in printed
    assert "Each of 60 iterations of 4 photos" in printed


def test_a_joint_training_takes_no_longer_and_goes_from_one_to_the_other(root, other_vocabulary):
    args = Namespace(
        config_file=other_vocabulary,
        other=root / "toy.yaml",
        folds=2,
        photos=None,
        iterations=2,
        opts=["DATASETS.TEST", "()"],
        output=root / "out",
    )
    jobs = plan(args)
    alone, joint = (load_config(other_vocabulary, jobs[row, "fold0"]) for row in ("alone", "joint"))
    assert joint.SOLVER.MAX_ITER == alone.SOLVER.MAX_ITER == 2
    assert alone.DATASETS.TRAIN == ("fold1",)
    assert joint.DATASETS.TRAIN == ("fold1", "bench_train")
    assert np.allclose(joint.DATASETS.TRAIN_SHARES, [(0.1, 0.9), (0.9, 0.1)])
    train(other_vocabulary, root / "joint", *jobs["joint", "fold0"])
    assert "fold0" in json.loads((root / "joint" / "results.json").read_text())


def test_photos_of_the_graph_itself_join_those_of_its_views(root, other_vocabulary):
    cfg = load_config(other_vocabulary)
    for name in ("vehicle", "vehicleseg10k"):
        other = load_config(root / "toy.yaml", ["MODEL.SAV.ONTOLOGY", name])
        joint = joint_options(cfg, other)
        assert joint[joint.index("MODEL.SAV.ONTOLOGY") + 1] == "vehicle"
    args = Namespace(config_file=root / "toy.yaml", other=root / "toy.yaml", iterations=1, opts=[])
    with pytest.raises(SAVError, match=r"'bench_train' .* is one of --config-file"):
        plan(args)
    bicycle = root / "bicycle.yaml"
    bell = "{id: 0, name: bell, description: a bell, color: [9, 9, 9], position: [0, 0, 0]}"
    bicycle.write_text(f"name: bicycle\nclasses:\n- {bell}\n")
    other = load_config(root / "toy.yaml", ["MODEL.SAV.ONTOLOGY", str(bicycle)])
    with pytest.raises(SAVError, match="not of one graph of parts"):
        joint_options(cfg, other)
    joint = joint_options(other, other)
    assert joint[joint.index("MODEL.SAV.ONTOLOGY") + 1] == str(bicycle)


def test_held_out_classes_beside_chance_and_supervised_ones(root, finish, capsys):
    finish(root / "out" / "held-out" / "seed0", "bench_valid", **{"IoU-Wheel": 30.0})
    finish(root / "out" / "supervised" / "seed0", "bench_valid", **{"IoU-Wheel": 70.0})
    more = ["--classes", "Wheel", "--seeds", "1", "--", "SOLVER.MAX_ITER", "2"]
    dispatch(words(root, "held-out", *more))
    assert "Wheel" in capsys.readouterr().out
    row = json.loads((root / "out" / "results.json").read_text())["Wheel"]
    # The wheels are about an eighth of the drawn vehicles.
    assert row["IoU"] == {"held-out": {"seed0": 30.0}, "supervised": {"seed0": 70.0}}
    assert row["chance"] == pytest.approx(13.3, abs=0.1)
    with pytest.raises(SAVError, match="no class 'Weel'"):
        dispatch(words(root, "held-out", "--classes", "Weel"))


def test_unseen_vehicles_with_every_gallery(root, monkeypatch, caplog, capsys):
    monkeypatch.setattr(unseen_data, "FEW", 2)
    monkeypatch.setattr(unseen, "FUSIONS", ("prompts",))
    sizes = ["--sizes", "3", "2", "4", "2"]
    short = ["--seeds", "1", "--iterations", "2"]
    with caplog.at_level(logging.INFO, "sav.engine.gallery"):
        dispatch(words(root, "unseen", *sizes, *short))
    photos = [len(set(r.args)) for r in caplog.records if r.message.startswith("Gallery built")]
    assert len(photos) == 1 + len(unseen.GALLERIES)
    printed = capsys.readouterr().out
    assert printed.count("| none ") == 2
    assert printed.count("| the photo itself ") == 2
    assert "Photos of unseen vehicles, fusion 'prompts':" in printed
    figures = json.loads((root / "out" / "results.json").read_text())
    counts = {len(fusions["prompts"]) for fusions in figures.values()}
    assert counts == {1 + len(unseen.GALLERIES)}


def test_photos_of_a_class_are_the_unseen_ones(root, monkeypatch):
    monkeypatch.setattr(unseen_data, "FEW", 1)
    contents = json.loads((root / "toy" / "valid.json").read_text())
    wheel = load_ontology("vehicleseg10k").class_id("Wheel") + 1
    shown = {a["image_id"] for a in contents["annotations"] if a["category_id"] == wheel}
    assert len(shown) == 3
    train = json.loads((root / "toy" / "train.json").read_text())
    train["annotations"] = [a for a in train["annotations"] if a["category_id"] != wheel]
    (root / "toy" / "train.json").write_text(json.dumps(train))
    cfg = load_config(root / "toy.yaml")
    options = unseen_data.hold_out_class(cfg, "Wheel", root / "split")
    files = dict(zip(options[::2], options[1::2], strict=True))
    sets = {
        name.rpartition(".")[2]: json.loads(Path(file).read_text()) for name, file in files.items()
    }
    assert {name: len(one["images"]) for name, one in sets.items()} == {
        "known_train": 6,
        "known_test": 2,
        "unseen_few": 1,
        "unseen_test": 2,
    }
    with_wheels = {
        n for n, one in sets.items() if wheel in {a["category_id"] for a in one["annotations"]}
    }
    assert with_wheels == {"unseen_few", "unseen_test"}
    # The config's own data sets stay where they are.
    monkeypatch.setattr(unseen, "FUSIONS", ("prompts",))
    dispatch(words(root, "unseen", "--class", "Wheel", "--seeds", "1", "--iterations", "2"))
    figures = json.loads((root / "out" / "results.json").read_text())
    assert set(figures["unseen_test"]["prompts"]) == {"none", *unseen.GALLERIES} - {
        "many of the unseen"
    }
    with pytest.raises(SAVError, match="--class Plate: 0 photos show it"):
        unseen_data.hold_out_class(cfg, "Plate", root / "other")


def test_one_graph_is_tested_in_all_its_views(root, capsys):
    dispatch([*words(root, "views", "--sizes", "4", "2", "--seeds", "1"), "--iterations", "1"])
    printed = capsys.readouterr().out
    for title in ("vehicle (never trained)", "dsmlr (trained)", "udapart_car (never trained)"):
        assert f"Answers in {title}:" in printed
    figures = json.loads((root / "out" / "results.json").read_text())
    assert set(figures) == {"vehicle", "vehicleseg10k", "dsmlr", "udapart_car", "carparts_seg"}
    assert all(set(rows) == {"unions", "by name"} for rows in figures.values())
    # Only what a name means differs: the photos and their masks are the same.
    data = root / "out" / "data" / "dsmlr_train" / "coco"
    unions, by_name = (
        json.loads((data / f"instances_train{end}.json").read_text()) for end in ("", "_by_name")
    )
    assert unions["annotations"] == by_name["annotations"]
    known = load_ontology(root / "out" / "data" / "dsmlr_by_name.yaml")
    door = known.class_id("front_left_door")
    assert known.unions[door].parts == ("left_front_door",)


FPN = ("peers", "--peers", "fpn", "--rates", "0.001")


def test_peers_get_the_core_seconds_of_sav(root, capsys):
    """And another start of the same command plans the same, and repeats nothing."""
    command = words(root, *FPN, "--seeds", "1", "--seconds", "1")
    dispatch(command)
    table = (root / "out" / "table.md").read_text()
    assert capsys.readouterr().out.endswith(table)
    figures = json.loads((root / "out" / "results.json").read_text())
    assert set(figures) == {"sav", "fpn"}
    for row, found in figures.items():
        assert found["iterations"] == max(1, round(1 / found["seconds a step"]))
        assert found["seconds a photo"] > 0
        assert found["rate"] == 0.001
        run = load_config(root / "out" / row / "seed0_lr0.001" / "config.yaml", experiment=True)
        assert found["iterations"] == run.SOLVER.MAX_ITER
        assert dict(run.EXPERIMENT) == ({} if row == "sav" else {"PEER": row})
        truth = json.loads((root / "out" / row / "seed0_lr0.001" / "results.json").read_text())
        assert found["runs"]["seed0_lr0.001"]["mIoU"] == truth["bench_valid"]["parts"]["mIoU"]

    dispatch(command)
    assert capsys.readouterr().out.endswith(table)
    log = (root / "out" / "fpn" / "seed0_lr0.001" / "log.txt").read_text()
    assert log.count("Engine: ") == 1


def test_the_rate_that_is_best_on_the_first_fold_counts_on_all(root, finish, capsys):
    costs = {"seconds a step": {"sav": 0.5, "fpn": 0.25}}
    costs["seconds a photo"] = {"sav": 0.04, "fpn": 0.02}
    (root / "out").mkdir()
    (root / "out" / "costs.json").write_text(json.dumps(costs))
    for row, plus in (("sav", 3.0), ("fpn", 0.0)):
        for fold, rates in (("fold0", {"0.001": 50.0, "0.002": 40.0}), ("fold1", {"0.001": 54.0})):
            for rate, figure in rates.items():
                finish(root / "out" / row / f"{fold}_lr{rate}", fold, mIoU=figure + plus)
    dispatch(words(root, *FPN, "0.002", "--folds", "2", "--seconds", "100"))
    lines = capsys.readouterr().out.splitlines()
    sav, fpn = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in lines
        if line.startswith(("| sav ", "| fpn "))
    )
    assert sav[:5] == ["sav", "200", "0.50", "0.001", "55.0 ± 2.8"]
    assert sav[5:] == ["20.0 ± 0.0", "15.0 ± 0.0", "40", "", "", ""]
    assert fpn[:5] == ["fpn", "400", "0.25", "0.001", "52.0 ± 2.8"]
    assert fpn[7:] == ["20", "-3.0 ± 0.0", "+0.0 ± 0.0", "+0.0 ± 0.0"]
    figures = json.loads((root / "out" / "results.json").read_text())
    runs = {"fold0_lr0.001", "fold0_lr0.002", "fold1_lr0.001"}
    assert {row: set(found["runs"]) for row, found in figures.items()} == {"sav": runs, "fpn": runs}


def test_peers_train_as_long_as_sav_without_seconds(root, finish):
    for row in ("sav", "fpn"):
        finish(root / "out" / row / "seed0_lr0.001", "bench_valid")
    costs = {what: {"sav": 0.5, "fpn": 0.25} for what in ("seconds a step", "seconds a photo")}
    (root / "out" / "costs.json").write_text(json.dumps(costs))
    line = ["--peers", "fpn", "--rates", "0.001", "--seeds", "1", "--iterations", "7"]
    dispatch(words(root, "peers", *line))
    figures = json.loads((root / "out" / "results.json").read_text())
    assert [row["iterations"] for row in figures.values()] == [7, 7]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--peers", "fnp"], r"^peer 'fnp': not known; choose some of fpn, .*$"),
        (["--rates", "1e-3", "0.001"], "^--rates: one of them is there twice$"),
        (["--seconds", "9", "--iterations", "9"], "^--seconds and --iterations: give one of them$"),
    ],
)
def test_a_mistake_in_a_comparison_is_one_clear_line(root, line, message):
    with pytest.raises(SAVError, match=message):
        dispatch(words(root, "peers", *line))
