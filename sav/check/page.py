"""A report as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np
from tqdm import tqdm

from sav.check.finding import KINDS, Finding
from sav.check.pictures import draw_finding
from sav.check.report import counts, summary
from sav.check.run import Report
from sav.drawing.page import jpeg_uri
from sav.errors import SAVError
from sav.formats.images import read_rgb
from sav.formats.records import one_line
from sav.ontology import Ontology

GENERATOR = '<meta name="generator" content="sav check">'

_STYLE = """
body { font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 1360px; color: #222; }
table { border-collapse: collapse; } td { padding: 0 1em 0 0; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(640px, 1fr)); gap: 1.2em; }
figure { margin: 0; } img { max-width: 100%; display: block; background: #000; }
figcaption { overflow-wrap: anywhere; } small { color: #666; }
"""


def to_html(report: Report, pictures: int) -> str:
    """Render the first findings, each with its picture.

    Args:
        report: what was found.
        pictures: how many findings are shown; each takes 20 to 60 kB.
    """
    shown = report.findings[:pictures]
    rows = "".join(
        f"<tr><td>{number}</td><td>{kind}</td><td>{KINDS[kind].title}</td></tr>"
        for kind, number in counts(report).items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    left = len(report.findings) - len(shown)
    more = f"<p>{left} more findings have no picture here.</p>" if left else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{GENERATOR}\n'
        f"<title>sav check</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Annotations to look at</h1>\n<p>{escape(summary(report))}</p>\n"
        f"<table>{rows}</table>\n<ul>{notes}</ul>\n"
        "<p>Left the photo, right the place enlarged. White outlines are annotated, yellow ones "
        "are seen by the model; its names have a question mark.</p>\n"
        f"<main>\n{''.join(_figures(shown, report.data.ontology))}</main>\n{more}</body>\n</html>\n"
    )


def _figures(findings: list[Finding], ontology: Ontology) -> Iterator[str]:
    progress = tqdm(findings, desc="Pictures", unit="img", disable=None)
    for number, finding in enumerate(progress, start=1):
        photo = finding.photo
        names = escape(one_line(f"{photo.data}, image {photo.id}, {photo.path.name}"))
        yield (
            f"<figure>{_picture(finding, ontology)}<figcaption><b>{number}. {finding.kind}</b> "
            f"{escape(one_line(finding.text))}<br><small>rank {finding.rank:.2f}; {names}</small>"
            "</figcaption></figure>\n"
        )


def _picture(finding: Finding, ontology: Ontology) -> str:
    try:
        image = read_rgb(finding.photo.path)
    except SAVError:
        # The finding itself says that the photo cannot be read, or another one does.
        image = np.full((*finding.photo.size, 3), 128, dtype=np.uint8)
    return f'<img alt="" src="{jpeg_uri(draw_finding(finding, image, ontology))}">'
