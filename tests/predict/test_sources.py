import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sav.errors import SAVError
from sav.predict.sources import UnreadableInputError, find_inputs, read_photo

ROOT = Path(__file__).parents[2]


def test_inputs_are_found_once_and_in_order(photos):
    (photos / "notes.txt").write_text("")
    found = find_inputs([str(photos / "two.jpg"), str(photos), str(photos / "*.png")])
    assert [p.name for p in found] == ["two.jpg", "one.png"]


def test_what_of_a_folder_is_left_out_is_said(photos, capsys):
    for name in ("a.heic", "b.heic", "c.gif", ".DS_Store", "._one.png"):
        (photos / name).write_text("")
    (photos / "more").mkdir()
    assert [p.name for p in find_inputs([str(photos)])] == ["one.png", "two.jpg"]
    said = f"{photos}: 3 files left out: .gif, .heic (2); 1 folder not looked into\n"
    assert capsys.readouterr().err == said
    assert len(find_inputs([str(photos / "*.*")])) == 2
    assert "3 files left out" in capsys.readouterr().err
    assert find_inputs([str(photos / "c.gif")])  # who names a file means it
    with pytest.raises(SAVError, match=r"no photo and no video in it; 2 files left out: .heic"):
        find_inputs([str(photos / "*.heic")])


def test_inputs_that_lead_nowhere_are_errors(tmp_path):
    with pytest.raises(SAVError, match="no photo and no video"):
        find_inputs([str(tmp_path)])
    with pytest.raises(SAVError, match="no such file"):
        find_inputs([str(tmp_path / "x.jpg")])
    with pytest.raises(SAVError, match="pattern without a match"):
        find_inputs([str(tmp_path / "*.jpg")])


def test_photos_of_any_mode_are_read_upright_in_rgb(tmp_path):
    image = Image.new("L", (30, 20), 100)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_photo(tmp_path / "turned.jpg").shape == (30, 20, 3)


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.new("RGB", (64, 64)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(UnreadableInputError, match="too large: more than 0 million pixels"):
        read_photo(tmp_path / "bomb.png")


def test_no_command_warns_of_a_photo_of_100_megapixels(tmp_path):
    """In a process of its own: pytest has its own filters of warnings."""
    Image.new("1", (10_000, 10_000)).save(tmp_path / "large.png")
    code = (
        "from pathlib import Path; from sav.formats.images import read_image_size; "
        "from sav.process import run_command; "
        "run_command(lambda: print(read_image_size(Path('large.png'))))"
    )
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    options = {"capture_output": True, "text": True, "cwd": tmp_path, "env": environment}
    done = subprocess.run(command, check=False, **options)
    assert (done.stdout, done.stderr) == ("(10000, 10000)\n", "")
