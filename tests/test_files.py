import pytest

from sav.errors import SAVError
from sav.files import atomic_path, write_atomic


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


def test_what_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match=r"a\.txt: cannot be written"):
        write_atomic(tmp_path / "file" / "a.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SAVError, match="folder: cannot be written"):
        write_atomic(tmp_path / "folder", "")
