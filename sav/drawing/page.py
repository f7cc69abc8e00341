"""HTML pages that need nothing else: pictures lie in them, and no script runs."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

MOST_PICTURES = 500
"""Of vehicles or findings on one page; each takes 30 to 100 kB. Those after them have none."""
_QUALITY = 80


def render_page(template: Path, **values: Any) -> bytes:
    """Fill a template.

    Args:
        template: a file in Jinja's language that extends ``page.html``, which lies beside this
            module and has the head, the style and the title as a heading.
        values: names of data sets, classes and files may hold anything: they are escaped, and what
            is no Unicode, as file names may be, is written with backslashes.

    Returns:
        UTF-8.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template.name).render(**values)
    return page.encode("utf-8", "backslashreplace")


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 RGB, for the ``src`` of an ``img``."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return data_uri("jpeg", cv2.imencode(".jpg", picture[..., ::-1], options)[1].tobytes())


def data_uri(kind: str, content: bytes) -> str:
    """The bytes of an image file of a kind, such as "png", for the ``src`` of an ``img``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
