"""The page of an evaluation."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sav.evaluation import worst_photos
from sav.evaluation.build import build_part_evaluator
from sav.evaluation.parts import PartEvaluator
from sav.evaluation.report import Report, write_report
from sav.evaluation.worst_photos import KeptPhoto, WorstPhoto, WorstPhotos
from sav.ontology import load_ontology


class Page(HTMLParser):
    """The text and the pictures of a page; other addresses are errors."""

    def __init__(self, source):
        super().__init__()
        self.text, self.pictures, self.tags = [], [], []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "src":
                kind, content = re.fullmatch(r"data:image/(\w+);base64,(.*)", value).groups()
                picture = Image.open(io.BytesIO(base64.b64decode(content)))
                assert picture.format.lower() == kind
                self.pictures.append(picture)
            assert name not in ("href", "srcset", "action", "onload", "onerror")

    def handle_data(self, data):
        self.text.append(data.strip())


def spoiled(dataset, record, rows):
    """Nothing is seen in the first rows."""
    output = dataset.perfect(record)
    output["part_map"][:rows] = 0
    return output


def run(dataset, outputs, report=True):
    evaluator = build_part_evaluator(dataset.cfg, dataset.name, report=report)
    evaluator.reset()
    for record, output in zip(dataset.records, outputs, strict=True):
        evaluator.process([{"image_id": record["image_id"]}], [output])
    return evaluator.evaluate()


@pytest.fixture
def outputs(dataset):
    rows = [20, 0, 40, 45, 5]
    return [spoiled(dataset, record, n) for record, n in zip(dataset.records, rows, strict=True)]


def page_of(dataset, name="report.html"):
    return Page((dataset.run / name).read_text("utf-8"))


def test_the_page_has_figures_and_pictures_and_needs_nothing_else(dataset, outputs):
    results = run(dataset, outputs)
    page = page_of(dataset)
    at = page.text.index("mIoU")
    assert page.text[at + 1] == f"{results['parts']['mIoU']:.1f}"
    assert "Left front door" in page.text
    assert not {"script", "link", "iframe"} & set(page.tags)
    kinds = [picture.format for picture in page.pictures]
    assert kinds == ["PNG", "PNG"] + 5 * ["JPEG"]
    for name in ("confusion", "curves"):
        with Image.open(dataset.run / f"{name}.png") as picture:
            assert min(picture.size) > 200


def test_the_worst_photos_come_first(dataset, outputs):
    run(dataset, outputs)
    captions = [t for t in page_of(dataset).text if ": mean IoU" in t]
    assert [caption[0] for caption in captions] == list("32014")  # the last two are perfect
    assert captions[-1].endswith("100.0")


def test_the_page_is_no_longer_than_allowed(dataset, outputs, monkeypatch):
    monkeypatch.setattr(worst_photos, "MOST", 2)
    run(dataset, outputs)
    captions = [t for t in page_of(dataset).text if ": mean IoU" in t]
    assert [caption[0] for caption in captions] == list("32")


def test_truth_and_prediction_lie_side_by_side(dataset):
    run(dataset, [dataset.nothing(record) for record in dataset.records])
    picture = np.asarray(page_of(dataset).pictures[2].convert("RGB"), dtype=int)
    half = (picture.shape[1] - 8) // 2
    truth, found = picture[:, :half], picture[:, -half:]
    assert np.ptp(found, axis=(0, 1)).max() < 12
    assert np.ptp(truth, axis=(0, 1)).max() > 80


def test_names_are_escaped_and_a_page_may_be_empty(dataset):
    evil = "&<script>alert(1)<script>"
    record = dataset.records[0]
    path = dataset.run.parent / "images" / f"{evil}.png"
    Path(record["file_name"]).rename(path)
    kept = KeptPhoto(50.0, [], np.zeros(0, np.int64), np.zeros(0, np.float32))
    ontology = load_ontology("vehicleseg10k")
    photo = WorstPhoto({**record, "file_name": str(path)}, kept, ontology)
    names = [evil, *ontology.class_names[1:]]
    confusion = np.eye(len(names) + 1, dtype=np.int64)
    write_report(dataset.run, "", Report(evil, names, {}, confusion, [], [photo]))
    source = (dataset.run / "report.html").read_text("utf-8")
    assert "<script" not in source
    assert source.count("&amp;&lt;script&gt;alert(1)") == 4
    assert len(page_of(dataset).pictures) == 3


def test_each_test_set_has_its_own_page_and_training_writes_none(dataset, outputs):
    run(dataset, outputs, report=False)
    assert not list(dataset.run.glob("*.html"))
    dataset.cfg.DATASETS.TEST = ("some_other_set", dataset.name)
    run(dataset, outputs)
    assert [path.name for path in dataset.run.glob("*.html")] == [f"report_{dataset.name}.html"]


def test_photos_without_anything_are_not_shown_and_made_up_parts_are(dataset):
    records = [{**record, "annotations": []} for record in dataset.records]
    parts = PartEvaluator(dataset.name, records)
    worst = WorstPhotos(dataset.name, records, parts)
    for index, record in enumerate(dataset.records):
        output = dataset.perfect(record) if index == 3 else dataset.nothing(record)
        for evaluator in (parts, worst):
            evaluator.process([{"image_id": record["image_id"]}], [output])
    worst.evaluate()
    assert [(photo.record["image_id"], photo.kept.miou) for photo in worst.photos] == [(4, 0)]
