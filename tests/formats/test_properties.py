"""Whatever polygons, masks, sizes and names come: what must hold of all of them."""

import unicodedata
from contextlib import suppress
from pathlib import PurePosixPath

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from sav.errors import SAVError
from sav.formats.archives import _safe
from sav.formats.image_names import ImageFolder
from sav.formats.labels import Labels, UnknownLabelError
from sav.formats.masks import clip_polygon, decode_codes, encode_mask, merge_codes, run_length_code
from sav.formats.outlines import mask_to_polygons
from sav.formats.records import RecordResult, whole

settings.register_profile("sav", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("sav")

SIDE = st.integers(1, 40)
MARGIN = 100


@st.composite
def masks(draw):
    height, width = draw(SIDE), draw(SIDE)
    bits = draw(st.binary(min_size=height * width, max_size=height * width))
    share = draw(st.sampled_from([2, 8, 64, 128, 250]))
    return np.frombuffer(bits, dtype=np.uint8).reshape(height, width) < share


def polygons(low, high):
    number = st.floats(low, high, allow_nan=False, width=32) | st.integers(int(low), int(high))
    return st.lists(st.tuples(number, number), min_size=3, max_size=8)


def flat(points, offset=0):
    return [float(value) + offset for point in points for value in point]


def decoded(code):
    return decode_codes([code], *code["size"])[0].astype(bool)


@given(polygons(-90, 130), SIDE, SIDE)
def test_a_clipped_polygon_is_the_part_of_it_in_the_image(points, height, width):
    found = decoded(run_length_code([flat(points)], height, width))
    large = height + 2 * MARGIN + 40, width + 2 * MARGIN + 40
    truth = decoded(run_length_code([flat(points, MARGIN)], *large))
    truth = truth[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
    # Where an edge is cut, it is drawn from another point: pixels on it may fall to either side.
    assert not (found ^ truth)[~near_edges(points, height, width)].any()


def near_edges(points, height, width):
    """Pixels within a pixel of an outline."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    near = np.zeros((height, width), dtype=bool)
    corners = np.array(points, dtype=float)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
        along = ((columns - x0) * (x1 - x0) + (rows - y0) * (y1 - y0)) / length
        along = along.clip(0, 1)
        distance = np.hypot(columns - x0 - along * (x1 - x0), rows - y0 - along * (y1 - y0))
        near |= distance <= 1.5
    return near


@given(polygons(-1e6, 1e6), SIDE, SIDE)
def test_clipped_points_are_in_the_image(points, height, width):
    found = clip_polygon(np.array(points, dtype=float), width, height)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= (width, height))).all()


@given(masks())
def test_a_mask_survives_every_form(mask):
    code = encode_mask(mask)
    runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=~mask[0, 0], append=2)))
    listed = ([0] if mask[0, 0] else []) + [int(run) for run in runs]
    for one in (code, {**code, "counts": code["counts"].encode()}, {**code, "counts": listed}):
        assert (decoded(run_length_code(one, *mask.shape)) == mask).all()
    assert (decoded(run_length_code(mask * np.uint8(255), *mask.shape)) == mask).all()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.integers(0, 5))
def test_runs_of_no_pixel_do_no_harm(runs, seed):
    width = max(1, sum(runs))
    runs = runs if sum(runs) else [1]
    values = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool).reshape(1, -1)
    code = run_length_code({"size": [1, width], "counts": runs}, 1, width)
    assert (decoded(code) == values).all()
    other = np.random.default_rng(seed).random((1, width)) < 0.5
    assert (decoded(merge_codes([code, encode_mask(other), code])) == values | other).all()


@given(st.text(st.characters(min_codepoint=32, max_codepoint=127), max_size=12), SIDE, SIDE)
def test_a_text_is_a_code_where_pycocotools_says_so(text, height, width):
    try:
        found = decoded(run_length_code({"size": [height, width], "counts": text}, height, width))
    except SAVError:
        return
    truth = coco_mask.decode({"size": [height, width], "counts": text.encode()})
    assert (found == truth).all()


@given(masks(), st.data())
def test_a_code_with_one_other_character_is_refused_or_one_of_this_size(mask, data):
    code = encode_mask(mask)
    text = code["counts"]
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(min_codepoint=48, max_codepoint=111))
    spoiled = {**code, "counts": text[:at] + other + text[at + 1 :]}
    with suppress(SAVError):
        found = run_length_code(spoiled, *mask.shape)
        assert (decoded(found) == coco_mask.decode(spoiled)).all()


@given(masks())
def test_outlines_draw_their_mask_again(mask):
    found = mask_to_polygons(mask, tolerance=0, min_hole=1)
    if not mask.any():
        assert found == []
        return
    drawn = decoded(run_length_code([one.ravel().tolist() for one in found], *mask.shape))
    assert (drawn == mask).all()


@given(polygons(0, 30), polygons(0, 30))
def test_several_polygons_are_their_union(first, second):
    one, other = (decoded(run_length_code([flat(points)], 32, 32)) for points in (first, second))
    both = decoded(run_length_code([flat(first), flat(second)], 32, 32))
    assert (both == one | other).all()


@given(st.recursive(st.none() | st.floats() | st.text(max_size=3), st.lists, max_leaves=6))
def test_anything_else_is_refused_in_words(value):
    try:
        decoded(run_length_code(value, 8, 8))
    except SAVError as error:
        assert str(error)


@given(st.text(max_size=30))
def test_a_member_of_an_archive_never_leaves_its_folder(name):
    for one in (name, f"../{name}", f"/{name}", f"a/../../{name}", f"..\\{name}", f"c:\\{name}"):
        try:
            path = _safe(one)
        except ValueError:
            continue
        assert not path.is_absolute()
        assert ".." not in path.parts
        assert path.parts
        assert PurePosixPath("x", path).is_relative_to("x")


@given(name=st.text(max_size=40))
def test_any_name_of_a_photo_may_be_asked_for(name, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "asked"
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "Tür 1.jpg").write_bytes(b"")
    found = ImageFolder(folder).find(name)
    assert found is None or found.is_relative_to(folder)


@given(
    form=st.sampled_from(["NFC", "NFD"]),
    before=st.sampled_from(["sub/", "sub\\", "x/y/", "file:///z/"]),
)
def test_one_photo_has_many_spellings(form, before, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "spelled"
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "Tür 1.jpg").write_bytes(b"")
    name = unicodedata.normalize(form, before + "Tür 1.jpg")
    for spelling in (name, name.replace(" ", "%20"), name.upper(), before + "0a1b2c3d-Tür 1.jpg"):
        found = ImageFolder(folder).find(spelling)
        assert found is not None
        assert found.name == "Tür 1.jpg"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_label_is_a_class_an_error_or_ignored(label, other):
    labels = Labels(["Wheel", "door"], "test", {"tyre": "Wheel"}, frozenset({other.strip()}))
    result = RecordResult()
    try:
        assert labels.read(label, result.notes) in ("Wheel", "door", None)
    except UnknownLabelError as error:
        assert label.strip() not in labels.known
        assert "--ignore" in str(error)
    except SAVError as error:
        assert not label.strip() or str(error)


@given(st.sampled_from(["Wheel", "door"]), st.sampled_from([str.upper, str.lower, str.title]))
def test_the_class_that_a_label_is_close_to_is_named(name, change):
    for label in (change(name), name + "s", name[:-1]):
        if label != name:
            try:
                Labels(["Wheel", "door"], "test").read(label, RecordResult().notes)
            except UnknownLabelError as error:
                assert f"did you mean '{name}'" in str(error)


@given(st.text(), st.text(), st.text())
def test_a_problem_is_one_printable_line(file, record, reason):
    (problem,) = RecordResult().skip(file, reason, record).problems
    assert str(problem).isprintable()
    str(problem).encode()


@given(st.integers(-(2**40), 2**40))
def test_a_whole_number_is_one_in_any_form(number):
    assert whole(number) == whole(float(number)) == whole(str(number)) == number
