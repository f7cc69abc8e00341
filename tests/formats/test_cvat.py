"""CVAT's XML: what CVAT and Datumaro write, and what no XML may do."""

import pytest

from sav.errors import SAVError
from sav.formats.annotation_format import LabelledPhoto
from sav.formats.reading import Reading
from sav.formats.records import PartInstance
from sav.formats.registry import FORMATS, detect_format
from tests.formats.tools import DATA, SIZE, box, oval, overlap, photo, read_all

CVAT = FORMATS["cvat"]
IMAGE = '<image id="0" name="car.jpg" width="64" height="48">'
SQUARE = 'points="8,8;24,8;24,24;8,24"'


@pytest.fixture
def read(tmp_path):
    def read(shapes, image=IMAGE, **options):
        folder = photo(tmp_path)
        text = f"<annotations><version>1.1</version>{image}{shapes}</image></annotations>"
        (folder / "annotations.xml").write_text(text, "utf-8")
        parts, problems = read_all("cvat", folder, reading=Reading(min_pixels=1, **options))
        return parts.get("car.jpg"), problems

    return read


def test_each_kind_of_shape(read):
    parts, problems = read(
        f'<polygon label="hood" {SQUARE}/>'
        '<box label="door" xtl="30" ytl="10" xbr="50" ybr="20"/>'
        '<box label="turned" xtl="30" ytl="10" xbr="50" ybr="20" rotation="90"/>'
        '<ellipse label="wheel" cx="32" cy="24" rx="20" ry="8" rotation="30"/>'
        '<mask label="plate" rle="1, 2, 1, 3, 1" left="4" top="3" width="4" height="2"/>'
    )
    assert not problems
    masks = {part.label: part.mask for part in parts}
    assert (masks["hood"] == box(8, 8, 24, 24)).all()
    assert (masks["door"] == box(30, 10, 50, 20)).all()
    assert (masks["turned"] == box(35, 5, 45, 25)).all()
    assert overlap(masks["wheel"], oval(32, 24, 20, 8, degrees=30)) > 0.97
    expected = box(5, 3, 7, 4) | box(4, 4, 7, 5)
    assert (masks["plate"] == expected).all()


def test_vehicles_instances_and_scores_are_attributes(read):
    said = "".join(
        f'<attribute name="{name}">{value}</attribute>'
        for name, value in {"Vehicle": 1, "instance": "", "score": 0.5, "colour": "red"}.items()
    )
    (part,), problems = read(f'<polygon label="hood" {SQUARE}>{said}</polygon>')
    assert (part.vehicle_id, part.score, problems) == (1, 0.5, [])
    piece = '<box label="hood" xtl="{0}" ytl="30" xbr="{1}" ybr="40">' + said + "</box>"
    piece = piece.replace('name="instance">', 'name="instance">3')
    (part,), problems = read(piece.format(2, 10) + piece.format(20, 30))
    assert (part.mask == box(2, 30, 10, 40) | box(20, 30, 30, 40)).all()


def test_users_say_what_a_group_is(read):
    pieces = '<box label="hood" group_id="{0}" xtl="{1}" ytl="2" xbr="{2}" ybr="8"/>'
    shapes = pieces.format(4, 2, 8) + pieces.format(4, 20, 30) + pieces.format(0, 40, 50)
    shapes += pieces.format(0, 52, 60)
    parts, _ = read(shapes)
    assert sorted(part.area for part in parts) == [48, 60, 96]
    parts, _ = read(shapes, group="vehicle")
    assert [part.vehicle_id for part in parts] == [4, 4, None, None]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<polyline label="a" points="1,1;9,9"/>', "'polyline' has no area"),
        ('<points label="a" points="1,1"/>', "'points' has no area"),
        ('<skeleton label="a"><points label="b" points="1,1"/></skeleton>', "'skeleton' has no"),
        (f"<polygon {SQUARE}/>", "it has no label"),
        ('<polygon label="a"/>', "a point is not a pair"),
        ('<polygon label="a" points="1,1;2,2;3"/>', "a point is not a pair"),
        ('<polygon label="a" points="1,1;2,nan;3,9"/>', "coordinate 'nan' is not a number"),
        ('<polygon label="a" points="1,1;2,1e99;3,9"/>', "coordinate '1e99' is not a number"),
        ('<polygon label="a" points="1,1;2,5"/>', "fewer than 3 points"),
        ('<polygon label="a" points="99,1;120,5;99,9"/>', "covers no pixel"),
        ('<box label="a" xtl="1" ytl="1" xbr="9"/>', "it has no 'ybr'"),
        ('<ellipse label="a" cx="9" cy="9" rx="-4" ry="4"/>', "radius is not above 0"),
        ('<mask label="a" rle="1, 3" left="0" top="0" width="3" height="2"/>', "6 pixels of its"),
        ('<mask label="a" rle="9, -3" left="0" top="0" width="3" height="2"/>', "6 pixels of its"),
        ('<mask label="a" rle="x" left="0" top="0" width="3" height="2"/>', "not whole numbers"),
        ('<mask label="a" rle="6" left="0" top="0" width="3" height="2"/>', "covers no pixel"),
        (
            '<mask label="a" rle="0, 1000000000000" left="0" top="0" width="1000000" '
            'height="1000000"/>',
            "larger than the photo",
        ),
        ('<mask label="a" rle="0" left="0" top="0" width="0" height="2"/>', "box is empty"),
        ('<mask label="a" rle="0, 4" left="-2" top="0" width="2" height="2"/>', "no pixel"),
        (f'<polygon label="a" {SQUARE}><attribute name="vehicle">x</attribute></polygon>', "whole"),
        (f'<polygon label="a" {SQUARE}><attribute name="score">7</attribute></polygon>', "0 and 1"),
    ],
)
def test_a_bad_shape_is_a_problem_and_the_others_stay(read, shape, reason):
    parts, problems = read(shape + f'<polygon label="hood" {SQUARE}/>')
    assert [part.label for part in parts] == ["hood"]
    assert len(problems) == 1
    assert reason in problems[0]
    assert " 0 of car.jpg" in problems[0]


def test_a_tag_of_the_photo_is_no_part(read):
    assert read('<tag label="dirty"/>') == ([], [])


def test_two_images_of_one_name(read):
    parts, problems = read(f"</image>{IMAGE}")
    assert parts is None
    assert "2 records name it" in problems[0]


def test_elements_where_none_belong(read):
    nested = "<image name='x'><polygon><image/><attribute name='vehicle'>1</attribute></polygon>"
    square = f'<polygon label="hood" {SQUARE}/>'
    parts, problems = read(f"{nested}</image><meta><image/></meta>{square}")
    assert [part.label for part in parts] == ["hood"]
    assert len(problems) == 2


def test_a_photo_of_another_size(read):
    parts, problems = read(f'<polygon label="a" {SQUARE}/>', IMAGE.replace("64", "65"))
    assert parts is None
    assert "drawn on 65x48 pixels, but the image is 64x48" in problems[0]


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]><annotations>&l11;</annotations>', "document t"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations></annotations>', "document type"),
        ("<annotations><track id='0' label='a'></track></annotations>", "tracks of a video"),
        ("<annotations><image>", "not valid XML"),
        ("<annotations>" + "<a>" * 100_000, "not valid XML"),
        ("<?xml version='1.0' encoding='x'?><annotations></annotations>", "not valid XML"),
        (f"<annotations>{IMAGE.replace('car', 'bus')}</image></annotations>", "with --images"),
    ],
)
def test_files_that_are_refused_as_a_whole(tmp_path, text, reason):
    (photo(tmp_path) / "annotations.xml").write_text(text, "utf-8")
    with pytest.raises(SAVError, match=reason):
        CVAT.find(tmp_path, None)


def test_other_xml_is_not_cvat(tmp_path):
    (tmp_path / "voc.xml").write_text("<annotation><object/></annotation>")
    assert not CVAT.detect(tmp_path)


def test_a_name_that_xml_cannot_hold(tmp_path):
    folder = photo(tmp_path)
    parts = [PartInstance.of_mask("hood", box(1, 1, 9, 9))]
    photos = iter([LabelledPhoto(folder / "car.jpg", "car\x01.jpg", *SIZE, parts)])
    with pytest.raises(SAVError, match="XML cannot hold"):
        CVAT.write(photos, ["hood"], tmp_path)


def test_splits_survive(tmp_path):
    folder = photo(tmp_path)
    CVAT.write(iter([LabelledPhoto(folder / "car.jpg", "car.jpg", *SIZE, [], "valid")]), [], folder)
    (entry,) = CVAT.find(folder, None)
    assert entry.split == "valid"


def test_what_datumaro_writes(tmp_path):
    file = DATA / "cvat" / "valid.xml"
    assert detect_format(file).name == "cvat"
    parts, problems = read_all("cvat", file, photo(tmp_path))
    assert not problems
    found = {(part.label, part.vehicle_id): part.mask for part in parts["car.jpg"]}
    assert (found["wheel", None] == oval(20, 24, 14, 14) & ~oval(20, 24, 6, 6)).all()
    assert (found["hood", 1] == box(40, 8, 56, 24)).all()
    assert (found["hood", None] == box(2, 2, 10, 6) | box(2, 42, 10, 46)).all()
    assert (found["door", None] == box(36, 30, 56, 40)).all()
    assert [entry.split for entry in CVAT.find(file, tmp_path)] == ["valid"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_is_known_by_its_first_tag_in_any_encoding(tmp_path, encoding):
    photo(tmp_path, "a.jpg")
    head = f'<?xml version="1.0" encoding="{encoding[:6].rstrip("-")}"?>\n<!-- {"x" * 70_000} -->'
    shape = '<polygon label="door" points="4,4;24,4;24,24"/>'
    image = f'<image id="0" name="a.jpg" width="64" height="48">{shape}</image>'
    text = f"{head}<annotations>{image}</annotations>"
    (tmp_path / "x.xml").write_bytes(text.encode(encoding))
    assert detect_format(tmp_path).name == "cvat"
    parts, problems = read_all("cvat", tmp_path)
    assert ([part.label for part in parts["a.jpg"]], problems) == (["door"], [])
    (tmp_path / "other.xml").write_text("<annotation><filename>b.jpg</filename></annotation>")
    assert read_all("cvat", tmp_path)[0].keys() == {"a.jpg"}
    (tmp_path / "broken.xml").write_text("<")
    with pytest.raises(SAVError, match=r"broken\.xml: not valid XML"):
        read_all("cvat", tmp_path)
