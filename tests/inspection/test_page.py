"""The page of a folder's reports."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

import sav
from sav.inspection import page as module
from sav.inspection.page import ReportPage
from tests.inspection.cars import FRONT, LEFT, SIZE, VEHICLE, instances, without

IMAGE = np.full((*SIZE, 3), 128, np.uint8)
EVIL = '"><script>alert(1)</script>.jpg'


def write(path, *photos):
    """Photos: (name, parts)."""
    page = ReportPage(VEHICLE)
    for name, parts in photos:
        page.add(name, IMAGE, parts, sav.inspect(parts, VEHICLE))
    page.write(path)
    return path.read_text("utf-8")


def pictures(source):
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', source)
    return [Image.open(io.BytesIO(base64.b64decode(one))) for one in found]


def test_vehicles_parts_and_what_is_not_seen(tmp_path):
    parts = instances(without(LEFT, "left_front_wheel"))
    source = write(tmp_path / "report.html", ("a.jpg", parts), ("b.jpg", instances({})))
    assert "Vehicle 0: seen from the left" in source
    assert "possibly hidden, missing or missed by the model" in source
    assert "No vehicle found" in source
    rows = re.findall(r"<tr><td>left_front_wheel</td>.*?</tr>", source, re.DOTALL)
    assert len(rows) == 2
    assert "a.jpg, vehicle 0" in rows[0]
    assert "next to left_frame" in rows[1]
    assert re.search(r"\d% of \d+ vehicles seen from the left.* show it\.", rows[1])
    assert "told by the area of the parts seen: 100% left." in source
    (picture,) = pictures(source)
    assert max(picture.size) == 640


def test_every_link_leads_somewhere_and_nothing_is_loaded(tmp_path):
    source = write(tmp_path / "r.html", ("a.jpg", instances(LEFT)), ("a.jpg", instances(FRONT)))
    targets = re.findall(r' id="([^"]+)"', source)
    links = re.findall(r'href="([^"]*)"', source)
    assert links
    assert {link[1:] for link in links} <= set(targets)
    assert len(targets) == len(set(targets))
    assert all(link.startswith("#") for link in links)
    assert not re.findall(r'src="(?!data:)', source)
    assert "default-src 'none'" in source


@pytest.mark.parametrize("name", [EVIL, "caf\udce9.jpg", "{{ 7 * 7 }}.jpg", "a\nb.jpg"])
def test_any_file_name_is_written_as_text(tmp_path, name):
    source = write(tmp_path / "report.html", (name, instances(LEFT)))
    assert "<script" not in source
    assert "49.jpg" not in source
    assert "Vehicle 0" in source


def test_a_photo_that_cannot_be_read_is_named(tmp_path):
    page = ReportPage(VEHICLE)
    page.add_unread(EVIL)
    page.write(tmp_path / "report.html")
    source = (tmp_path / "report.html").read_text("utf-8")
    assert source.count("This photo could not be read.") == 2
    assert "1 photo." in source
    assert "<script" not in source


def test_pictures_are_bounded_and_tables_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PICTURES", 1)
    source = write(tmp_path / "r.html", ("a.jpg", instances(LEFT)), ("b.jpg", instances(FRONT)))
    assert len(pictures(source)) == 1
    assert "No picture: this page shows 1." in source
    assert "grille" in source


def test_a_page_without_photos_of_vehicles(tmp_path):
    assert "0 photos" in write(tmp_path / "report.html")
