import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sav.cli import dispatch
from sav.commands.predict import run_demo
from sav.config import load_config
from sav.errors import SAVError
from sav.predict.sources import Video
from sav.predict.writers import video_writer

DEMO = Path(__file__).parents[2] / "projects" / "SAV" / "demo.py"


def predict(run_folder, output, *words):
    """Run ``sav predict`` with every part kept: an untrained model scores low."""
    options = ["--model", str(run_folder), "--output", str(output), "--device", "cpu"]
    dispatch(["predict", *map(str, words), *options, "--score-threshold", "0"])


@pytest.fixture
def video(tmp_path, photo):
    path = tmp_path / "clip.mp4"
    with video_writer(path, 10) as append:
        for seed in range(3):
            append(photo(48, 64, seed))
    return path


def test_folder_becomes_files_of_all_formats(run_folder, photos, tmp_path, capsys):
    out = tmp_path / "out"
    predict(run_folder, out, photos, "--format", "json", "labelme", "mask", "overlay")
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == [
        "labelme/one.json",
        "labelme/two.json",
        "one.json",
        "one_mask.png",
        "one_overlay.png",
        "two.json",
        "two_mask.png",
        "two_overlay.png",
    ]
    assert json.loads((out / "one.json").read_text())["parts"]
    said = capsys.readouterr().out
    assert "2 of 2 files predicted" in said
    assert f"written to {out}\n" in said
    assert "trained on: noise" in said


def test_reports_of_a_folder_are_one_page_and_a_json_each(run_folder, photos, tmp_path):
    out = tmp_path / "out"
    predict(run_folder, out, photos, "--format", "report")
    names = sorted(path.name for path in out.iterdir())
    assert names == ["one_report.json", "report.html", "two_report.json"]
    page = (out / "report.html").read_text("utf-8")
    assert "one.png" in page
    assert "two.jpg" in page
    with pytest.raises(SAVError, match=r"none\.json"):
        predict(run_folder, tmp_path / "no", photos, "--format", "report", "--priors", "none.json")
    assert not (tmp_path / "no").exists()


def test_where_nothing_is_found_tiles_are_the_next_step(run_folder, photos, tmp_path, capsys):
    blind = shutil.copytree(run_folder, tmp_path / "blind")
    cfg = load_config(blind / "config.yaml", ["MODEL.SAV.TEST.SCORE_THRESHOLD", "2.0"])
    (blind / "config.yaml").write_text(cfg.dump())
    hint = "sav predict --tiles finds small vehicles"
    predict(blind, tmp_path / "without", photos, "--format", "json")
    assert f"No parts in 2 of them: {hint}" in capsys.readouterr().out
    predict(blind, tmp_path / "with", photos, "--format", "json", "--tiles")
    assert hint not in capsys.readouterr().out


def test_another_gallery_is_looked_into(run_folder, photos, tmp_path):
    words = (photos / "one.png", "--format", "json", "--gallery")
    predict(run_folder, tmp_path / "out", *words, run_folder / "gallery")
    assert (tmp_path / "out" / "one.json").is_file()
    with pytest.raises(SAVError, match="no gallery there"):
        predict(run_folder, tmp_path / "other", *words, tmp_path)
    assert not (tmp_path / "other").exists()


def test_threshold_leaves_out_what_scores_less(run_folder, photos, tmp_path):
    predict(run_folder, tmp_path / "out", photos / "one.png", "--format", "json")
    parts = json.loads((tmp_path / "out" / "one.json").read_text())["parts"]
    middle = parts[len(parts) // 2]["score"]
    words = ["--model", str(run_folder), "--output", str(tmp_path / "less"), "--format", "json"]
    dispatch(["predict", str(photos / "one.png"), *words, "--score-threshold", str(middle)])
    fewer = json.loads((tmp_path / "less" / "one.json").read_text())["parts"]
    assert 0 < len(fewer) < len(parts)


def test_broken_photo_is_reported_and_the_rest_goes_on(run_folder, photos, tmp_path, capsys):
    (photos / "broken.jpg").write_bytes((photos / "two.jpg").read_bytes()[:200])
    (photos / "text.png").write_text("no image")
    with pytest.raises(SAVError, match=r"2 of 4 files could not be read: .*broken\.jpg"):
        predict(run_folder, tmp_path / "out", photos, "--format", "json", "report")
    names = [p.name for p in (tmp_path / "out").iterdir() if "report" not in p.name]
    assert sorted(names) == ["one.json", "two.json"]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert page.count("This photo could not be read.") == 4  # in the list and in its place, of two
    assert capsys.readouterr().err.count("skipped: ") == 2


def test_nothing_is_written_when_the_model_is_bad(photos, tmp_path):
    with pytest.raises(SAVError, match="no such run folder"):
        predict(tmp_path / "nowhere", tmp_path / "out", photos)
    assert not (tmp_path / "out").exists()


def test_photos_are_never_overwritten(run_folder, photos):
    with pytest.raises(SAVError, match="choose another --output"):
        predict(run_folder, photos, photos)
    assert sorted(p.name for p in photos.iterdir()) == ["one.png", "two.jpg"]


def test_video_becomes_a_video_and_json_by_frame(run_folder, video, tmp_path):
    predict(run_folder, tmp_path / "out", video)
    drawn = Video(tmp_path / "out" / "clip_overlay.mp4")
    assert (drawn.num_frames, drawn.fps) == (3, 10)
    frames = list(drawn.frames())
    assert frames[0].shape == (576, 768, 3)
    read = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert [f["frame"] for f in read["frames"]] == [0, 1, 2]
    assert all(f["parts"] for f in read["frames"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf8_are_read_and_written(run_folder, video, tmp_path):
    """OpenCV would end the process without a word."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    name = os.fsdecode(b"\xff.mp4")
    shutil.copy(video, folder / name)
    shutil.copytree(run_folder, folder / "run")
    predict(folder / "run", folder / "out", folder / name)
    assert len(list((folder / "out").iterdir())) == 2
    assert len(list(Video(folder / "out" / os.fsdecode(b"\xff_overlay.mp4")).frames())) == 3


def test_a_second_prediction_needs_overwrite(run_folder, photos, tmp_path):
    words = (photos / "one.png", "--format", "json")
    predict(run_folder, tmp_path / "out", *words)
    (tmp_path / "out" / "one.json").write_text("corrected by hand")
    with pytest.raises(SAVError, match=r"one\.json: exists already; .*--overwrite"):
        predict(run_folder, tmp_path / "out", *words)
    assert (tmp_path / "out" / "one.json").read_text() == "corrected by hand"
    predict(run_folder, tmp_path / "out", *words, "--overwrite")
    assert json.loads((tmp_path / "out" / "one.json").read_text())["parts"]


def test_broken_video_is_reported(run_folder, photos, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    with pytest.raises(SAVError, match="1 of 2 files could not be read"):
        predict(run_folder, tmp_path / "out", broken, photos / "one.png", "--format", "overlay")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["one_overlay.png"]


def test_demo_draws_with_the_weights_beside_the_config(run_folder, photos, tmp_path):
    words = ["--config-file", run_folder / "config.yaml", "--input", photos, "--output"]
    environment = {**os.environ, "PYTHONPATH": str(DEMO.parents[2])}
    command = [sys.executable, DEMO, *map(str, words), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert names == ["one_overlay.png", "two_overlay.png"]


def test_demo_takes_other_weights_without_the_gallery(run_folder, photos, tmp_path):
    run = shutil.copytree(run_folder, tmp_path / "run")
    state = load_file(run / "model_final.safetensors")
    other = {name: value + 0.01 for name, value in state.items()}
    torch.save({"model": other}, run / "model_0000009.pth")
    out = tmp_path / "out"
    words = ["--config-file", run / "config.yaml", "--input", photos / "one.png", "--output", out]
    opts = ["--opts", "MODEL.WEIGHTS", run / "model_0000009.pth", "MODEL.DEVICE", "cpu"]
    run_demo(list(map(str, words + opts)))
    assert [p.name for p in out.iterdir()] == ["one_overlay.png"]


def test_demo_without_weights_writes_nothing(run_folder, photos, tmp_path):
    out = tmp_path / "out"
    words = ["--config-file", run_folder / "config.yaml", "--input", photos, "--output", out]
    opts = ["--opts", "MODEL.WEIGHTS", tmp_path / "none.safetensors"]
    with pytest.raises(SAVError, match=r"none\.safetensors: no such weights file"):
        run_demo(list(map(str, words + opts)))
    with pytest.raises(SAVError, match="NO_SUCH_KEY"):
        run_demo(list(map(str, [*words, "--opts", "NO_SUCH_KEY", "1"])))
    assert not out.exists()
