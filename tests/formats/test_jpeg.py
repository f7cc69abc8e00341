"""JPEG files that are cut off are found without decoding them."""

import io

import numpy as np
import pytest
from PIL import Image

from sav.errors import SAVError
from sav.formats.images import read_image_size
from sav.formats.jpeg import is_whole_jpeg


def jpeg(**options):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    thumbnail, stream = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels[:8, :8]).save(thumbnail, "JPEG")
    exif = b"Exif\0\0" + thumbnail.getvalue()  # has a mark of its end of its own
    Image.fromarray(pixels).save(stream, "JPEG", exif=exif, comment=b"\xff\xd9", **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"quality": 100}, {"restart_marker_rows": 1}]
)
def test_a_file_is_whole_where_nothing_is_cut_off(tmp_path, options):
    whole, path = jpeg(**options), tmp_path / "a.jpg"
    for content in (
        whole,
        whole + b"trailer of a phone",
        whole[:2] + b"\xff" + whole[2:],
    ):
        path.write_bytes(content)
        assert is_whole_jpeg(path)
        assert read_image_size(path) == (64, 48)
    for end in range(0, len(whole) - 1, 61):
        path.write_bytes(whole[:end])
        assert not is_whole_jpeg(path)
    with pytest.raises(SAVError):
        read_image_size(path)


def test_marks_that_a_scan_cannot_have_are_no_whole_file(tmp_path):
    whole, path = jpeg(), tmp_path / "a.jpg"
    for spoiled in (b"\xff\x01", b"\xff\xd8", b"\xff\xc8"):
        path.write_bytes(whole[:-40] + spoiled + whole[-38:])
        assert not is_whole_jpeg(path)
    path.write_bytes(b"\xff\xd8\xff\xd9")
    assert not is_whole_jpeg(path)
