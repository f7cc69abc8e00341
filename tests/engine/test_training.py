"""Short real trainings on a few drawn photos."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file

from sav.config import load_config
from sav.engine.optimizer import build_adamw, build_schedule
from sav.engine.run import run as run_processes
from sav.engine.trainer import Trainer
from sav.errors import SAVError
from sav.gallery.files import load_gallery
from sav.modeling.weights import gallery_fingerprint, load_weights, training_data
from sav.ontology import load_ontology

from .toy import CONFIG, arguments, draw, run


def test_a_run_leaves_what_the_contract_says(finished):
    names = {path.name for path in finished.iterdir()}
    assert {
        "config.yaml",
        "log.txt",
        "metrics.json",
        "last_checkpoint",
        "model_0000002.pth",
        "model_final.safetensors",
        "gallery",
        "results.json",
        "predictions.png",
        "report.html",
        "confusion.png",
        "curves.png",
    } <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    results = json.loads((finished / "results.json").read_text())["toy_valid"]
    assert list(results) == ["bbox", "segm", "boundary", "parts", "vehicles", "calibration"]
    assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "AP-Wheel"} <= results["segm"].keys()
    parts = {"mIoU", "mAcc", "mIoU_bg", "fwIoU", "paper_mIoU", "IoU-Wheel", "side_confusion"}
    assert parts <= results["parts"].keys()
    assert list(results["calibration"]) == ["ECE", "precision@0.3", "recall@0.3"]
    assert "Engine: " in (finished / "log.txt").read_text().splitlines()[0]


def test_evaluating_again_gives_the_same_figures(root, finished, tmp_path):
    weights = str(finished / "model_final.safetensors")
    run(root, tmp_path, "MODEL.WEIGHTS", weights, flags=["--eval-only"])
    first = json.loads((finished / "results.json").read_text())
    assert json.loads((tmp_path / "results.json").read_text()) == first


def test_evaluation_looks_into_a_gallery_of_the_photos_it_is_told(root, finished, tmp_path):
    weights = str(finished / "model_final.safetensors")
    seen = {}
    for name, sets in {"none": "()", "valid": "('toy_valid',)"}.items():
        options = ["MODEL.WEIGHTS", weights, "DATASETS.TRAIN", sets]
        run(root, tmp_path / name, *options, flags=["--eval-only"])
        log = (tmp_path / name / "log.txt").read_text()
        seen[name] = re.search(r"Gallery built: (\d+) vehicles", log)[1]
        assert "mIoU" in (tmp_path / name / "results.json").read_text()
    assert seen == {"none": "0", "valid": "3"}


def test_evaluation_with_a_saved_gallery_is_that_of_the_run(root, finished, tmp_path):
    weights = str(finished / "model_final.safetensors")
    options = ["MODEL.WEIGHTS", weights, "MODEL.SAV.TEST.GALLERY", str(finished / "gallery")]
    run(root, tmp_path, *options, flags=["--eval-only"])
    first = json.loads((finished / "results.json").read_text())
    assert json.loads((tmp_path / "results.json").read_text()) == first
    assert "Gallery built" not in (tmp_path / "log.txt").read_text()
    with pytest.raises(SAVError, match="gallery cannot be read"):
        run(root, tmp_path, *options[:-1], str(tmp_path), flags=["--eval-only"])


def test_two_processes_evaluate_like_one(root, finished, tmp_path):
    weights = str(finished / "model_final.safetensors")
    flags = ["--eval-only", "--num-gpus", "2"]
    run_processes(arguments(root, tmp_path, "MODEL.WEIGHTS", weights, flags=flags))
    first = json.loads((finished / "results.json").read_text())
    assert json.loads((tmp_path / "results.json").read_text()) == first


def test_two_processes_train(root, tmp_path):
    run_processes(arguments(root, tmp_path, flags=["--num-gpus", "2"]))
    assert len(load_gallery(tmp_path / "gallery")) == 8
    assert (tmp_path / "model_final.safetensors").is_file()


def test_no_process_is_a_clear_error(root, tmp_path):
    with pytest.raises(SAVError, match="--num-gpus"):
        run_processes(arguments(root, tmp_path, flags=["--num-gpus", "0"]))


def test_the_final_gallery_has_every_training_photo_and_fits_the_model(root, finished):
    gallery = load_gallery(finished / "gallery")
    assert sorted(gallery.vehicles.photo_ids) == [f"toy_train/{i}" for i in range(1, 9)]
    model = Trainer.build_model(load_config(root / "toy.yaml"))
    load_weights(model, finished / "model_final.safetensors")
    gallery.check_fingerprint(gallery_fingerprint(model), "gallery")
    body = load_ontology("vehicleseg10k").class_id("Foreground")
    assert gallery.exemplars.present[:, body].all()


def test_training_photos_that_all_show_parts_are_worth_a_word(root, finished, tmp_path):
    word = "training photos show parts"
    assert word in (finished / "log.txt").read_text()
    contents = json.loads((root / "toy" / "valid.json").read_text())
    (root / "toy" / "empty.json").write_text(json.dumps({**contents, "annotations": []}))
    empty = ["DATASETS.PARTS.toy_empty", "toy/empty.json"]
    sets = ["DATASETS.TRAIN", "('toy_train', 'toy_empty')", "DATASETS.TEST", "()"]
    run(root, tmp_path, *empty, *sets, "SOLVER.MAX_ITER", "2")
    assert word not in (tmp_path / "log.txt").read_text()
    assert len(load_gallery(tmp_path / "gallery")) == 8


def test_a_loss_that_is_not_finite_is_a_clear_error(root, tmp_path):
    with pytest.raises(SAVError, match="loss_mask"):
        run(root, tmp_path, "MODEL.SAV.LOSS.MASK", "inf")


def test_one_seed_gives_one_result(root, finished, tmp_path):
    run(root, tmp_path)
    first = load_file(finished / "model_final.safetensors")
    again = load_file(tmp_path / "model_final.safetensors")
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_resume_continues_with_optimizer_average_and_gallery(root, tmp_path):
    run(root, tmp_path, "SOLVER.MAX_ITER", "3")
    first = torch.load(tmp_path / "model_0000002.pth", weights_only=True)
    run(root, tmp_path, flags=["--resume"])
    last = torch.load(tmp_path / "model_final.pth", weights_only=True)
    assert first["iteration"] == 2
    assert last["iteration"] == 5
    assert set(first["gallery"]["photo_ids"]) <= set(last["gallery"]["photo_ids"])
    assert len(last["gallery"]["photo_ids"]) == 8
    steps = {int(s["step"]) for s in last["trainer"]["_trainer"]["optimizer"]["state"].values()}
    assert steps == {6}
    iterations = [json.loads(x)["iteration"] for x in (tmp_path / "metrics.json").open()]
    assert iterations == sorted(iterations)
    assert iterations[-1] >= 5


def test_average_follows_the_weights(root, finished):
    checkpoint = torch.load(finished / "model_final.pth", weights_only=True)
    final = load_file(finished / "model_final.safetensors")
    name = "decoder.shortcut.weight"
    assert torch.equal(final[name], checkpoint["trainer"]["hooks"]["EMAHook"][name])
    assert not torch.equal(final[name], checkpoint["model"][name])


def test_weights_of_another_vocabulary_give_all_that_is_not_about_it(root, finished):
    cfg = load_config(root / "toy.yaml", ["MODEL.SAV.ONTOLOGY", "dsmlr"])
    model = Trainer.build_model(cfg)
    fresh = model.graph.class_embedding.detach().clone()
    with pytest.raises(SAVError, match="another shape"):
        load_weights(model, finished / "model_final.safetensors")
    load_weights(model, finished / "model_final.safetensors", adapt=True)
    final = load_file(finished / "model_final.safetensors")
    state = model.state_dict()
    carried = [n for n in final if n != "graph.class_embedding"]
    assert len(carried) > 50
    assert all(torch.equal(state[name], final[name]) for name in carried)
    # A wheel is a wheel; a bumper is new.
    there, here = load_ontology("vehicleseg10k"), model.ontology
    wheels = here.class_id("wheel"), there.class_id("Wheel")
    assert torch.equal(
        state["graph.class_embedding"][wheels[0]], final["graph.class_embedding"][wheels[1]]
    )
    bumper = here.class_id("front_bumper")
    assert torch.equal(state["graph.class_embedding"][bumper], fresh[bumper])


def test_weights_that_do_not_fit_are_named(root, finished, tmp_path):
    cfg = load_config(root / "toy.yaml", ["MODEL.SAV.CONTEXT.ENABLED", "False"])
    model = Trainer.build_model(cfg)
    with pytest.raises(SAVError, match="weights unknown for this config: context"):
        load_weights(model, finished / "model_final.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no weights")
    with pytest.raises(SAVError, match="not a weights file"):
        load_weights(model, tmp_path / "broken.safetensors")
    with pytest.raises(SAVError, match="no such weights file"):
        load_weights(model, tmp_path / "none.safetensors")


def test_groups_have_their_own_rates_and_decay(root):
    multipliers = "(('encoder.', 0.1), ('encoder.body.layer4', 0.5))"
    options = [
        *("SOLVER.LR_MULTIPLIERS", multipliers),
        *("SOLVER.WEIGHT_DECAYS", "(('graph.', 0.25),)"),
    ]
    cfg = load_config(root / "toy.yaml", options)
    model = Trainer.build_model(cfg)
    groups = {
        id(p): (group["lr"], group["weight_decay"])
        for group in build_adamw(cfg, model).param_groups
        for p in group["params"]
    }
    assert len(groups) == sum(p.requires_grad for p in model.parameters())
    body = model.encoder.body
    assert groups[id(body.conv1[0].weight)] == pytest.approx((1e-4, cfg.SOLVER.WEIGHT_DECAY))
    assert groups[id(body.layer4[0].conv1.weight)][0] == pytest.approx(5e-4)
    assert groups[id(model.queries.slot_embedding.weight)][0] == pytest.approx(1e-3)
    assert groups[id(model.graph.class_embedding)][1] == 0.25


def test_a_group_without_parameters_is_a_clear_error(root):
    cfg = load_config(root / "toy.yaml", ["SOLVER.WEIGHT_DECAYS", "(('encodre.', 0.1),)"])
    with pytest.raises(SAVError, match=r"WEIGHT_DECAYS.*encodre"):
        build_adamw(cfg, Trainer.build_model(cfg))


def test_what_is_frozen_stays_as_it_is(root, finished, tmp_path):
    weights = finished / "model_final.safetensors"
    options = [
        *("MODEL.WEIGHTS", str(weights), "DATASETS.TRAIN", "('toy_train', 'toy_valid')"),
        *("SOLVER.TRAINED", "('context.', 'graph.class_embedding')"),
    ]
    run(root, tmp_path, *options)
    before, after = load_file(weights), load_file(tmp_path / weights.name)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    # Running statistics are no parameters, and must not change either.
    assert {name.split(".")[0] for name in changed} == {"graph", "context"}
    assert {name for name in changed if name.startswith("graph")} == {"graph.class_embedding"}
    # Whose data they are from: what they began with has seen its own.
    assert training_data(weights) == "toy_train"
    assert training_data(tmp_path / weights.name) == "toy_train; then toy_train, toy_valid"


def test_a_start_of_a_name_that_freezes_everything_is_a_clear_error(root):
    cfg = load_config(root / "toy.yaml", ["SOLVER.TRAINED", "('context.', 'secnd')"])
    with pytest.raises(SAVError, match=r"SOLVER\.TRAINED.*secnd"):
        Trainer.build_model(cfg)


@pytest.mark.parametrize("kind", ["full_model", "norm", "value"])
def test_gradients_are_clipped(root, kind):
    cfg = load_config(root / "toy.yaml", ["SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind])
    model = Trainer.build_model(cfg)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 5.0)
    build_adamw(cfg, model).step()
    norms = torch.stack([p.grad.norm() for p in model.parameters()])
    largest = {
        "full_model": norms.norm(),
        "norm": norms.max(),
        "value": max(p.grad.abs().max() for p in model.parameters()),
    }
    assert largest[kind] == pytest.approx(1.0, rel=1e-3)


def test_poly_schedule(root):
    options = ["SOLVER.LR_SCHEDULER_NAME", "WarmupPolyLR", "SOLVER.MAX_ITER", "10"]
    cfg = load_config(root / "toy.yaml", options)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = build_schedule(cfg, optimizer)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(cfg.SOLVER.WARMUP_FACTOR)
    assert rates[2:] == pytest.approx([(1 - i / 10) ** 0.9 for i in range(2, 10)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["SOLVER.NO_SUCH_KEY", "1"], "NO_SUCH_KEY"),
        (["DATASETS.TRAIN", "('nowhere_train',)"], "nowhere_train"),
        (["MODEL.WEIGHTS", "nowhere.pth"], "nowhere.pth"),
        (["MODEL.SAV.ONTOLOGY", "dsmlr"], "ontology"),
        (["MODEL.DEVICE", "cuda"], "MODEL.DEVICE cpu"),
    ],
)
def test_mistakes_are_one_clear_error(root, tmp_path, options, words):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SAVError, match=words):
        run(root, tmp_path, *options)


def test_a_broken_photo_is_one_clear_error(root, tmp_path):
    draw(tmp_path / "toy", "train", 4)
    draw(tmp_path / "toy", "valid", 1)
    (tmp_path / "toy" / "images" / "train2.png").write_bytes(b"not a picture")
    options = ["DATASETS.TRAIN", "('broken_train',)", "DATASETS.TEST", "()"]
    config = tmp_path / "toy.yaml"
    config.write_text(CONFIG.replace("toy_", "broken_"))
    with pytest.raises(SAVError, match=r"train2\.png"):
        run(tmp_path, tmp_path / "run", *options)


def test_a_training_is_not_started_where_one_is(root, finished, tmp_path):
    folder = shutil.copytree(finished, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(SAVError, match=r"OUTPUT_DIR holds a training already; .*--resume"):
        run(root, folder)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}
    assert after.items() <= before.items()


@pytest.mark.parametrize("spoil", [{"segmentation": []}, {"iscrowd": 1}, None])
def test_a_training_without_any_annotation_is_an_error(root, tmp_path, spoil):
    contents = json.loads((root / "toy" / "train.json").read_text())
    contents["info"]["image_root"] = str(root / "toy" / "images")
    kept = contents["annotations"] if spoil else []
    contents["annotations"] = [{**annotation, **spoil} for annotation in kept]
    (tmp_path / "train.json").write_text(json.dumps(contents))
    name = f"nothing_{tmp_path.name}"
    options = [f"DATASETS.PARTS.{name}", str(tmp_path / "train.json"), "DATASETS.TEST", "()"]
    with pytest.raises(SAVError, match=f"no photo of {name} has an annotation to learn from"):
        run(root, tmp_path / "run", *options, "DATASETS.TRAIN", f"('{name}',)")
    # Beside photos that show something, photos that show nothing are welcome.
    if spoil is None:
        options += ["DATASETS.TRAIN", f"('toy_train', '{name}')", "SOLVER.MAX_ITER", "1"]
        run(root, tmp_path / "mixed", *options)


def test_the_command_line_can_add_what_a_config_file_can(root):
    options = ["DATASETS.PARTS.mine_train", "mine/train.json", "MODEL.TIMM.OPTIONS.stem_width", "8"]
    cfg = load_config(root / "toy.yaml", options)
    assert cfg.DATASETS.PARTS.mine_train == "mine/train.json"
    assert cfg.MODEL.TIMM.OPTIONS.stem_width == 8
    with pytest.raises(SAVError, match="STEM"):
        load_config(root / "toy.yaml", ["MODEL.STEM.WIDTH", "8"])


def test_missing_config_is_a_clear_error():
    with pytest.raises(SAVError, match="no such config file"):
        load_config("configs/none.yaml")
