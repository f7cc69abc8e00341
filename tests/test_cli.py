import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sav
from sav.cli import COMMANDS, dispatch
from sav.errors import SAVError

ROOT = Path(__file__).parents[1]


def run(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sav.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_help_lists_every_command():
    done = run("--help")
    assert done.returncode == 0
    for name, summary in COMMANDS.items():
        assert name in done.stdout
        assert summary in done.stdout


def test_every_command_is_one_file_and_every_file_one_command():
    shared = {"__init__", "completion", "help", "json_output", "options", "stdin"}
    files = {path.stem for path in (ROOT / "sav" / "commands").glob("*.py")} - shared
    assert files == COMMANDS.keys()


def test_help_does_not_wait_for_heavy_packages():
    heavy = {"torch", "numpy", "cv2", "timm"}
    code = f"import sys, sav.cli; sys.exit(bool({heavy!r} & sys.modules.keys()))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], check=False, env=environment)
    assert done.returncode == 0


def test_the_help_of_a_command_does_not_wait_for_torch():
    code = """
import argparse, importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"sav.commands.{name}").add_arguments(argparse.ArgumentParser())
    assert "torch" not in sys.modules, name
"""
    # The experiments declare their options beside their work.
    names = COMMANDS.keys() - {"bench"}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code, *names], check=False, env=environment)
    assert done.returncode == 0


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself(name, capsys):
    with pytest.raises(SystemExit) as end:
        dispatch([name, "--help"])
    assert end.value.code == 0
    assert f"sav {name}" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit):
        dispatch(["--version"])
    assert capsys.readouterr().out == f"sav {sav.__version__}\n"


def test_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as end:
        dispatch(["fly"])
    assert end.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def test_user_errors_are_one_line_and_an_exit_code(tmp_path):
    done = run("graph", "check", tmp_path / "nothing.yaml")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [done.stderr.strip()]
    assert done.stderr.startswith("error: ")


def test_graph_show_prints_classes_and_relations(capsys):
    dispatch(["graph", "show", "vehicleseg10k"])
    lines = capsys.readouterr().out.splitlines()
    door = next(line for line in lines if " Left front door " in line).split("  ")
    assert [word.strip() for word in door if word][:5] == [
        "6", "Left front door", "left", "Right front door", "2",
    ]  # fmt: skip
    assert "Plate part_of Foreground" in lines


def test_graph_check_accepts_a_users_file_and_names_the_line_of_an_error(tmp_path, capsys):
    path = tmp_path / "bicycle.yaml"
    frame = "  - {id: 0, name: frame, description: the frame, color: [9, 9, 9]}\n"
    path.write_text(f"name: bicycle\nclasses:\n{frame}")
    dispatch(["graph", "check", str(path)])
    assert "valid; 1 classes" in capsys.readouterr().out
    path.write_text(f"name: bicycle\nclasses:\n{frame.replace('9, 9, 9', '9, 9')}")
    with pytest.raises(SAVError, match=r"bicycle\.yaml:3: color"):
        dispatch(["graph", "check", str(path)])


def test_gallery_inspect_without_a_gallery_is_an_error(tmp_path):
    with pytest.raises(SAVError, match="no gallery there"):
        dispatch(["gallery", "inspect", str(tmp_path)])


def test_eval_of_a_missing_run_is_an_error(tmp_path):
    with pytest.raises(SAVError, match="no such run folder"):
        dispatch(["eval", "--model", str(tmp_path / "nowhere")])


def test_prepare_reaches_the_converters(tmp_path):
    words = ["--root", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SAVError, match=str(tmp_path)):
        dispatch(["prepare", "vehicleseg10k", *words])


def test_synth_and_prepare_make_a_data_set(tmp_path, capsys):
    root = tmp_path / "made"
    sizes = ["--train", "2", "--valid", "1", "--size", "64", "--workers", "1"]
    dispatch(["synth", "--out", str(root), *sizes])
    assert "2 + 1 images" in capsys.readouterr().out
    dispatch(["prepare", "vehicleseg10k", "--root", str(root), "--workers", "1"])
    contents = json.loads((root / "coco" / "instances_train.json").read_text())
    assert len(contents["images"]) == 2
    assert contents["annotations"]


def test_synth_without_vehicles(tmp_path):
    root = tmp_path / "places"
    line = ["synth", "--out", str(root), "--train", "2", "--valid", "1", "--size", "64"]
    dispatch([*line, "--bodies", "none"])
    files = sorted((root / "annotations").rglob("*.json"))
    assert [json.loads(file.read_text())["shapes"] for file in files] == [[], [], []]
    with pytest.raises(SAVError, match="no type can stand beside it"):
        dispatch([*line, "--bodies", "none", "suv"])


def test_synth_without_a_target_is_refused():
    with pytest.raises(SAVError, match="--out"):
        dispatch(["synth"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["train"], r"--config-file FILE: it is missing"),
        (["train", "--config-file", "c.yaml", "SEED", "1", "--resume", ""], "flags go before"),
        (["train", "--config-file", "c.yaml", "SEDE", "1"], r"command line: .*SEDE$"),
        (["train", "--config-file", "bad.yaml"], r"bad\.yaml: .*SEDE; check its spelling"),
    ],
)
def test_wrong_configs_and_options_are_one_clear_line(words, error, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("SEED: 0\n")
    Path("bad.yaml").write_text("SEDE: 0\n")
    with pytest.raises(SAVError, match=error):
        dispatch(words)
