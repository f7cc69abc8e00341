import numpy as np
import pytest
from PIL import Image

from sav.drawing.sheet import Panel, compose_sheet, write_sheet
from sav.errors import SAVError


def picture(height, width, value=100):
    return np.full((height, width, 3), value, np.uint8)


def test_rows_are_as_high_as_they_need_and_columns_of_one_width():
    tall, wide = picture(90, 30, 10), picture(20, 200, 20)
    sheet = compose_sheet([[Panel(tall), Panel(wide)], [Panel(wide)]])
    assert sheet.shape == (90 + 8 + 20, 200 + 8 + 200, 3)
    assert (sheet[:90, :30] == 10).all()
    assert (sheet[:20, 208:] == 20).all()
    assert (sheet[98:, :200] == 20).all()
    rest = sheet.copy()
    for part in (rest[:90, :30], rest[:20, 208:], rest[98:, :200]):
        part[:] = 255
    assert (rest == 255).all()


def test_a_row_has_room_for_its_longest_caption():
    row = [Panel(picture(40, 200), ["one"]), Panel(picture(40, 200), ["two", "lines"])]
    sheet = compose_sheet([row, [Panel(picture(40, 200))]])
    assert sheet.shape == (2 * 24 + 8 + 40 + 8 + 40, 408, 3)
    first, second = sheet[:56, :200], sheet[:56, 208:]
    assert (first[:28] < 255).any()
    assert (first[28:] == 255).all()
    assert (second[28:] < 255).any()


def test_a_caption_may_be_as_long_as_the_pictures_that_it_stands_over():
    def ink(captions):
        row = [Panel(picture(9, 60), caption) for caption in captions]
        return np.flatnonzero((compose_sheet([row])[:32] < 255).any(axis=(0, 2)))

    alone = ink([["photo of a hatchback"], [], []])
    assert alone.max() > 100
    both = ink([["photo of a hatchback"], ["b"], []])
    assert (both < 60).any()
    assert ((both < 64) | (both > 68)).all()
    # The end of a text that is too long stays: of a key it tells which one it is.
    ends = [compose_sheet([[Panel(picture(9, 90), [f"a/long/folder/{i}"])]]) for i in (1, 2)]
    assert not np.array_equal(*ends)


def test_a_sheet_becomes_a_file_of_any_image_format(tmp_path):
    rows = [[Panel(picture(40, 200), ["caption"])]]
    write_sheet(tmp_path / "new" / "x.png", rows)
    with Image.open(tmp_path / "new" / "x.png") as image:
        assert np.array_equal(np.asarray(image), compose_sheet(rows))
    with pytest.raises(SAVError, match=r"x\.text: give the name of an image file"):
        write_sheet(tmp_path / "x.text", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
