"""Archives are unpacked where they are told to, or not at all."""

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from sav.errors import SAVError
from sav.formats import archives
from sav.formats.archives import is_archive, unpack

NAMES = ["../x", "/x", "a/../../x", "..\\x", "C:\\x", "c:x", "", ".", "a/./../../x"]


def unpacked(folder):
    """{name: content} of the files, but for the hidden one that says what was unpacked."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def make(path, members):
    """An archive of names and contents, as its own name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content in members:
                info = zipfile.ZipInfo("x")
                info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
                zipped.writestr(info, content)
    else:
        with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as taped:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                taped.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "ZIP"])
def test_archives_of_all_kinds_are_unpacked(tmp_path, suffix):
    path = make(
        tmp_path / f"a.{suffix.lower()}", [("b/c.txt", b"1"), ("b/ü.txt", b"2"), ("d", b"3")]
    )
    path = path.rename(tmp_path / f"b.{suffix}")
    assert is_archive(path)
    unpack(path, tmp_path / "out")
    assert unpacked(tmp_path / "out") == {"b/c.txt": b"1", "b/ü.txt": b"2", "d": b"3"}


@pytest.mark.parametrize("suffix", ["zip", "tar"])
@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(tmp_path, suffix, name):
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in" / f"a.{suffix}", [("fine", b"1"), (name, b"2")])
    with pytest.raises(SAVError, match="cannot be unpacked"):
        unpack(path, tmp_path / "in" / "out")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [path.name]


def test_links_are_not_followed(tmp_path, capsys):
    with tarfile.open(tmp_path / "a.tar", "w") as taped:
        for name, kind in {
            "link": tarfile.SYMTYPE,
            "hard": tarfile.LNKTYPE,
            "p": tarfile.FIFOTYPE,
        }.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            taped.addfile(info)
        info = tarfile.TarInfo("link/x")
        taped.addfile(info, io.BytesIO())
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert unpacked(tmp_path / "out") == {"link/x": b""}
    assert not any(p.is_symlink() for p in (tmp_path / "out").rglob("*"))
    assert "3 left out, which are no files, such as 'link'" in capsys.readouterr().out


def test_a_link_in_a_zip_is_said(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        info = zipfile.ZipInfo("labels.json")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(info, "/etc/passwd")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert unpacked(tmp_path / "out") == {}
    assert "1 left out" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_what_tar_meets_twice_is_there_twice(tmp_path, suffix):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.json").write_bytes(b"labels")
    (tmp_path / "in" / "b.json").hardlink_to(tmp_path / "in" / "a.json")
    with tarfile.open(tmp_path / f"a.{suffix}", f"w:{suffix[4:]}") as taped:
        taped.add(tmp_path / "in", ".")
        assert any(info.islnk() for info in taped)
    unpack(tmp_path / f"a.{suffix}", tmp_path / "out")
    assert unpacked(tmp_path / "out") == dict.fromkeys(["a.json", "b.json"], b"labels")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_gigabytes_takes_none(tmp_path, kind):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, 4 * 2**30
    with gzip.open(tmp_path / "a.tar.gz", "wb") as stream:
        stream.write(info.tobuf(tarfile.USTAR_FORMAT) + bytes(10240))
    with pytest.raises(SAVError, match="a header in it is larger than allowed"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")


@pytest.mark.parametrize(("really", "called"), [("zip", "tar"), ("tar.gz", "zip"), ("tar", "tgz")])
def test_the_contents_say_what_an_archive_is(tmp_path, really, called):
    path = make(tmp_path / f"a.{really}", [("a.txt", b"1")]).rename(tmp_path / f"b.{called}")
    unpack(path, tmp_path / "out")
    assert unpacked(tmp_path / "out") == {"a.txt": b"1"}


def test_other_archives_are_named_as_such(tmp_path):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(SAVError, match="such archives are not read; unpack it"):
        is_archive(tmp_path / "a.rar")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.zip", b""),
        ("a.zip", b"PK\x03\x04 and no more"),
        ("a.tar", b"no archive" * 100),
        ("a.tar.gz", b"\x1f\x8b\x08\x00 and no more"),
        ("a.tar.xz", b"\xfd7zXZ\x00 and no more"),
        ("a.tar.bz2", b"BZh9 and no more"),
    ],
)
def test_broken_archives_are_one_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SAVError, match=f"{name}: cannot be unpacked"):
        unpack(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_every_cut_and_every_wrong_byte_ends_in_words(tmp_path, suffix):
    whole = make(tmp_path / f"a.{suffix}", [(f"{i}.txt", bytes(range(256)) * i) for i in range(9)])
    content, path = whole.read_bytes(), tmp_path / f"b.{suffix}"
    spoiled = [content[: len(content) * i // 12] for i in range(12)]
    for i in range(40):
        at = len(content) * i // 40
        spoiled.append(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])
    for number, one in enumerate(spoiled):
        path.write_bytes(one)
        try:
            unpack(path, tmp_path / f"out{number}")
        except SAVError:
            assert not (tmp_path / f"out{number}").exists()


def test_what_grows_without_bounds_is_refused(tmp_path, monkeypatch):
    path = make(tmp_path / "a.zip", [("a.txt", bytes(10**6))])
    with pytest.raises(SAVError, match="larger than allowed"):
        unpack(path, tmp_path / "out", max_bytes=10**5)
    monkeypatch.setattr(archives, "_SMALL", 10**4)
    with pytest.raises(SAVError, match="larger than allowed"):
        unpack(path, tmp_path / "out")
    monkeypatch.setattr(archives, "MAX_FILES", 2)
    with pytest.raises(SAVError, match="more than 2 files"):
        unpack(make(tmp_path / "b.tar", [(str(i), b"") for i in range(3)]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_unpacked_over_something(tmp_path):
    path = make(tmp_path / "a.zip", [("a.txt", b"1"), ("A/b.txt", b"2")])
    unpack(path, tmp_path / "out")
    unpack(path, tmp_path / "out")  # what is there is what would be written
    other = make(tmp_path / "c.zip", [("a.txt", b"3")])
    with pytest.raises(SAVError, match="exists and is not empty"):
        unpack(other, tmp_path / "out")
    make(path, [("a.txt", b"2")])
    with pytest.raises(SAVError, match="exists and is not empty"):
        unpack(path, tmp_path / "out")
    assert unpacked(tmp_path / "out") == {"a.txt": b"1", "A/b.txt": b"2"}
    twice = make(tmp_path / "b.zip", [("a.txt", b"1"), ("./a.txt", b"2")])
    with pytest.raises(SAVError, match="File exists"):
        unpack(twice, tmp_path / "twice")
