"""The report as text, JSON and a page."""

import json
import re

from sav.check.page import to_html
from sav.check.report import format_text, to_json


def planted(annotations):
    hood = annotations.of("hood")[0]
    annotations.rename(annotations.add(hood), "trunk")
    image = next(i for i in annotations.contents["images"] if i["id"] == hood["image_id"])
    return annotations.check(), image


def test_json_names_image_and_annotations(annotations):
    report, image = planted(annotations)
    contents = json.loads(to_json(report))
    entry = next(f for f in contents["findings"] if f["kind"] == "twice")
    assert entry["file_name"] == image["file_name"].split("/")[-1]
    assert entry["image_id"] == image["id"]
    assert len(entry["annotations"]) == 2
    assert contents["counts"]["twice"] == 1


def test_text_has_the_first_findings_and_all_counts(annotations):
    report, _ = planted(annotations)
    text = format_text(report, top=1)
    assert "hood and trunk are the same mask" in text
    assert f"{len(report.findings)} findings in" in text
    assert text.count("planted.json") == 1


def test_the_page_stands_alone(annotations):
    report, _ = planted(annotations)
    page = to_html(report, pictures=1)
    assert page.count("<figure>") == page.count("data:image/jpeg;base64,") == 1
    assert "same mask" in page
    # Nothing is loaded from anywhere, and no script runs.
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "<script" not in page
    assert f"{len(report.findings) - 1} more findings" in page or len(report.findings) == 1


def test_names_that_are_no_text_are_shown(annotations):
    annotations.contents["images"][0]["file_name"] = "\x1b[31m\udcff.jpg"
    report = annotations.check()
    for text in (to_html(report, 1), format_text(report, 1)):
        assert r"\x1b[31m\udcff.jpg" in text
        text.encode()


def test_names_are_escaped(annotations):
    image = annotations.contents["images"][0]
    image["file_name"] = "<script>x.jpg"
    page = to_html(annotations.check(), pictures=50)
    assert "<script" not in page
    assert "&lt;script&gt;x.jpg" in page
