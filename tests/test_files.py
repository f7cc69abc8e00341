import os
import sys

import pytest

from sav.errors import SAVError
from sav.files import (
    atomic_path,
    check_folder,
    check_new,
    files_together,
    native_name,
    new_folder,
    write_atomic,
)


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_atomic(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    write_atomic(path, b"bytes")
    assert path.read_bytes() == b"bytes"
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        assert temporary.name.startswith(".")
        assert temporary.suffix == ".txt"
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_bytes() == b"bytes"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["x" * 251 + ".jpg", "車" * 83 + ".json", "x" * 255])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path, name):
    write_atomic(tmp_path / name, "a")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_is_filled_or_as_it_was(tmp_path):
    for folder in (tmp_path / "new", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(KeyboardInterrupt), new_folder(folder):
            write_atomic(folder / "sub" / "a.txt", "half")
            write_atomic(folder / "b.txt", "half")
            raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]
    with new_folder(tmp_path / "empty"):
        write_atomic(tmp_path / "empty" / "a.txt", "")
    with pytest.raises(SAVError, match="not empty"), new_folder(tmp_path / "empty"):
        raise AssertionError
    with pytest.raises(SAVError, match="not empty"), new_folder(tmp_path / "empty" / "a.txt"):
        raise AssertionError
    assert (tmp_path / "empty" / "a.txt").exists()


def test_what_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match=r"a\.txt: cannot be written"):
        write_atomic(tmp_path / "file" / "a.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SAVError, match="folder: cannot be written"):
        write_atomic(tmp_path / "folder", "")


def test_files_that_exist_are_kept_unless_the_user_says_otherwise(tmp_path):
    (tmp_path / "a.json").write_text("mine")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    for name in ("a.json", "link.png"):
        with pytest.raises(SAVError, match=rf"{name}: exists already; .*--overwrite"):
            check_new([tmp_path / "new.png", tmp_path / name], overwrite=False)
        check_new([tmp_path / name], overwrite=True)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(SAVError, match="is a folder"):
        check_new([tmp_path / "folder.json"], overwrite=True)


def test_folders_are_checked_before_the_work(tmp_path):
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match=r"file/out: cannot be written to: .*file is not a folder"):
        check_folder(tmp_path / "file" / "out")
    with pytest.raises(SAVError, match="cannot be written to"):
        check_new([tmp_path / "file" / "a.png"], overwrite=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_read_only_folders_are_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(SAVError, match="read-only for you"):
        check_folder(tmp_path / "out")


def test_native_libraries_get_names_that_they_can_take(tmp_path):
    plain = tmp_path / "größe.mp4"
    with native_name(plain) as name:
        assert name == str(plain)
    if sys.platform != "linux":
        pytest.skip("other systems have no other names")
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    path = folder / os.fsdecode(b"\xff.mp4")
    path.write_text("old")
    with native_name(path) as name, open(name.encode(), "r+") as file:  # noqa: PTH123
        assert name.endswith(".mp4")
        assert file.read() == "old"
    with native_name(folder / "new.mp4") as name:
        os.close(os.open(name, os.O_CREAT))
    assert sorted(p.name for p in folder.iterdir()) == ["new.mp4", path.name]


def test_files_that_belong_together_appear_together(tmp_path):
    out = tmp_path / "out"
    interrupted = pytest.raises(KeyboardInterrupt)

    def write(text, *, end=False):
        with files_together(out) as folder:
            (folder / "a").write_text(text)
            if end:
                raise KeyboardInterrupt
            (folder / "b").write_text(text)

    with interrupted:
        write("half", end=True)
    assert not out.exists()
    write("first")
    (out / "mine").write_text("kept")
    with interrupted:
        write("half", end=True)
    whole = {"a": "first", "b": "first", "mine": "kept"}
    assert {file.name: file.read_text() for file in out.iterdir()} == whole
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match="cannot be written"), files_together(tmp_path / "file"):
        pass
