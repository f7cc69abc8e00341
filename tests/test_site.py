"""The documentation as a site."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = "site_name: small\ntheme: mkdocs\nhooks: [docs/hooks.py]\nplugins: []\n"


def build(folder, site):
    """Build the site of a folder as `make docs` does; what went wrong, or nothing."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert not done.returncode or done.stderr
    return done.stderr if done.returncode else ""


@pytest.fixture
def small(tmp_path):
    """A repository with a page, a module and a notebook, and our hooks."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "code" / "deep").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "hooks.py", tmp_path / "docs")
    (tmp_path / "mkdocs.yml").write_text(SMALL)
    (tmp_path / "README.md").write_text("# Home\n\n[page](docs/page.md#part), [deep](code/deep)\n")
    (tmp_path / "docs" / "page.md").write_text(
        "# Page\n\n## Part\n\n[home](../README.md), [module](../code/one.py), "
        "[notes](../code/notes.md)\n"
        "\n```\n[not a link](../code/gone.py)\n```\n"
    )
    (tmp_path / "code" / "notes.md").write_text(
        "# Notes\n\n[page](../docs/page.md), [other](other.txt)\n"
    )
    (tmp_path / "code" / "other.txt").write_text("something else")
    for name in ("one.py", "deep/two.py"):
        (tmp_path / "code" / name).write_text('"""What it is for.\n\nMore."""\n')
    (tmp_path / "docs" / "look.ipynb").write_text(
        '{"cells": [{"cell_type": "markdown", "source": ["# Look\\n"]},'
        ' {"cell_type": "code", "source": ["x = 1"]}]}'
    )
    return tmp_path


def test_files_outside_of_docs_are_in_the_site_where_pages_link_to_them(small):
    site = small / "site"
    assert not build(small, site)
    assert 'href="page/#part"' in (site / "index.html").read_text()
    page = (site / "page" / "index.html").read_text()
    assert 'href="../repository/code/one.py/"' in page
    assert "[not a link](../code/gone.py)" in page
    assert "What it is for." in (site / "repository" / "code" / "one.py" / "index.html").read_text()
    other = (
        site / "repository" / "code" / "other.txt" / "index.html"
    )  # a page of a page links to it
    assert "something else" in other.read_text()
    folder = (site / "repository" / "code" / "deep" / "index.html").read_text()
    assert "<code>two.py</code>" in folder and "What it is for." in folder and "More" not in folder
    assert "x = 1" in (site / "look" / "index.html").read_text()


@pytest.mark.parametrize("link", ["../code/gone.py", "gone.md", "../README.md#gone"])
def test_a_broken_link_is_an_error(small, link):
    (small / "mkdocs.yml").write_text(SMALL + "validation: {anchors: warn}\n")
    with (small / "docs" / "page.md").open("a") as page:
        page.write(f"\n[broken]({link})\n")
    assert "gone" in build(small, small / "site")


def test_our_site_has_no_broken_link_and_loads_nothing_from_elsewhere(tmp_path):
    site = tmp_path / "site"
    assert not build(ROOT, site)
    loads = re.compile(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert not [found for page in pages for found in loads.findall(page.read_text("utf-8"))]
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text("utf-8"))
    reference = (site / "api.html").read_text("utf-8")
    assert 'id="sav.SAVPredictor.from_pretrained"' in reference
