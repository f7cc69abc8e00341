import sys

import pytest

from sav.doctor.imports import Outcome
from sav.doctor.item import Status
from sav.doctor.packages import check_extras, check_packages


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Lets Python find packages of any version; their metadata are all that is looked at."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, version, *lines):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        (folder / "METADATA").write_text("\n".join([*head, *lines]) + "\n")

    return write


@pytest.fixture
def sav(install):
    needs = ("here>=1.0", "old<3,>=2.0", "gone>=4", "broken", "faiss-cpu>=1.8", "tool; extra=='x'")
    lines = [
        f"Requires-Dist: {need}" for need in (*needs, "lint; extra=='dev'", "here; extra=='y'")
    ]
    install(
        "segment-any-vehicle", "0.0.1", "Provides-Extra: x", "Provides-Extra: y",
        "Provides-Extra: dev", *lines,
    )  # fmt: skip


def by_name(items):
    return {item.name: item for item in items}


def test_each_package_is_there_or_named_with_the_command_that_brings_it(sav, install):
    for name, version in (("here", "1.2"), ("old", "1.0"), ("broken", "5"), ("faiss-gpu", "1.9")):
        install(name, version)
    items = by_name(check_packages({"broken": Outcome(error="OSError: libgone.so")}))
    assert (items["here"].value, items["here"].status) == ("1.2", Status.OK)
    assert items["old"].value == "1.0, SAV needs <3,>=2.0"
    assert items["old"].mend == "pip install 'old<3,>=2.0'"
    assert items["gone"].mend == "pip install 'gone>=4'"
    assert items["broken"].value == "5 cannot be imported: OSError: libgone.so"
    assert items["broken"].mend == "pip install --force-reinstall --no-deps 'broken==5'"
    wrong = {name for name, item in items.items() if item.status is Status.WRONG}
    assert wrong == {"old", "gone", "broken"}
    assert "tool" not in items


def test_what_could_not_be_tried_is_not_wrong(sav, install):
    install("broken", "5")
    items = by_name(check_packages({"broken": Outcome(because_of="numpy")}))
    assert items["broken"].status is Status.OK
    assert items["broken"].value == "5, not tried: it needs numpy"


def test_where_nothing_says_what_is_needed_the_imports_do(monkeypatch):
    monkeypatch.setattr(sys, "path", [])  # no package can be found
    outcomes = {"numpy": Outcome(), "faiss": Outcome(error="gone"), "opencv": Outcome()}
    outcomes |= {"torch": Outcome(because_of="numpy"), "sav": Outcome(error="gone")}
    items = by_name(check_packages(outcomes))
    assert items["segment-any-vehicle"].status is Status.ABSENT
    assert items["numpy"].value == "can be imported"
    assert items["faiss-cpu"].mend == "pip install faiss-cpu"
    wrong = {name for name, item in items.items() if item.status is Status.WRONG}
    assert wrong == {"faiss-cpu"}
    assert check_extras() == []


def test_extras_are_optional(sav, install):
    install("here", "1.2")
    items = by_name(check_extras())
    assert (items["x"].status, items["x"].mend) == (Status.ABSENT, "pip install tool")
    assert (items["y"].status, items["y"].value) == (Status.OK, "here 1.2")
    assert "dev" not in items
