"""Each step of the runtime against the module whose work it does without torch."""

import ast
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment

from sav.data.letterbox import Letterbox
from sav.export import runtime
from sav.formats.images import read_rgb
from sav.modeling import components, crop_predictions, crops, grouping, postprocess, reader
from sav.modeling.context import vehicles
from sav.modeling.grouping import VehicleKinds, group_into_vehicles
from sav.modeling.original_frame import Frame, enlarge
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.views import Members, unite

from ..fixtures.broken_images import check_claims_take_no_memory


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_it_is_one_short_file_of_its_own():
    source = Path(runtime.__file__).read_text("utf-8")
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    strings = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented)]
    strings = [s for s in strings if isinstance(s, ast.Expr)]
    said = {line for s in strings for line in range(s.lineno, s.end_lineno + 1)}
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    code = [line for number, line in lines if line and line[0] != "#" and number not in said]
    assert len(code) <= 360
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.split(".")[0]
        for node in imports
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert names - set(__import__("sys").stdlib_module_names) == {"numpy", "onnxruntime", "PIL"}


def test_its_rules_are_those_of_the_model():
    assert runtime.SPECK == postprocess._SPECK
    assert (runtime.GAP, runtime.CONFIDENT) == (grouping._VEHICLE_GAP, grouping._CONFIDENT)
    assert runtime.SAME == grouping._SAME == crop_predictions._SAME
    assert runtime.TIE == grouping._TIE
    assert runtime.CONFIDENT == vehicles._CONFIDENT == crop_predictions.CONFIDENT
    assert runtime.SMALLEST == vehicles._SMALLEST
    assert runtime.LIKELY == reader.LIKELY
    assert (runtime.SPECK, runtime.SEVERAL) == (components._SMALLEST, components._PARTS)
    assert runtime.SAME == components._SAME
    for name in ("MARGIN", "LEAST", "MOST", "GAIN", "SURE"):
        assert getattr(runtime, name) == getattr(crops, f"_{name}")


@pytest.mark.parametrize(
    ("height", "width"),
    [
        (288, 288),
        (512, 512),
        (600, 800),
        (576, 432),
        (864, 576),
        (333, 500),
        (864, 1152),
        (1000, 3),
        (1, 700),
        (60, 90),
        (173, 259),
        (1, 100),
    ],
)
def test_photos_come_to_the_canvas_as_in_training(rng, height, width):
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    expected = Letterbox(288).get_transform(photo).apply_image(photo)
    found = runtime.letterbox(photo, 288)
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


def random_boxes(rng, count, size=200, most=60):
    corners = rng.integers(0, size - 2, (count, 2))
    return np.hstack([corners, corners + rng.integers(1, most, (count, 2))])


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("bodies", [(), (0, 3)])
def test_parts_are_grouped_alike(seed, bodies):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, 40))
    boxes = random_boxes(rng, count, size=300 if seed % 2 else 120)
    classes, scores = rng.integers(0, 9, count), rng.random(count, dtype=np.float32)
    once = (1, 2, 4, 5)
    expected = group_into_vehicles(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(classes),
        torch.tensor(scores),
        VehicleKinds(bodies, once),
    )
    found = runtime.group(boxes.reshape(-1, 4), classes, scores, list(bodies), list(once))
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(60))
def test_what_lies_apart_is_found_alike(seed):
    rng = np.random.default_rng(seed)
    original = [int(side) for side in rng.integers(40, 900, 2)]
    resized = tuple(max(1, round(side * 64 / max(original))) for side in original)
    frame = Frame(tuple(original), resized, 64)
    masks = np.zeros((6, 16, 16), bool)
    for left, top, right, bottom in random_boxes(rng, 4, size=16, most=7):
        masks[:, top:bottom, left:right] = rng.random((6, 1, 1)) < 0.8
    masks &= rng.random(masks.shape) < 0.9
    expected = components.vehicle_components(torch.from_numpy(masks), frame)
    found = runtime.components(masks, frame.original, 16 * np.array(resized) / 64)
    assert [box.tolist() for box in found] == expected.tolist()


@pytest.mark.parametrize("seed", range(60))
def test_vehicles_share_components_alike(seed):
    rng = np.random.default_rng(seed)
    hulls = {int(id_): box for id_, box in enumerate(random_boxes(rng, 3, size=40, most=35))}
    boxes = random_boxes(rng, int(rng.integers(0, 4)), size=40, most=12)
    several, free = runtime.shared_vehicles(hulls, [*boxes])
    tuples = {id_: tuple(box.tolist()) for id_, box in hulls.items()}
    expected = components.shared_vehicles(tuples, torch.from_numpy(boxes).reshape(-1, 4))
    assert (several, [tuple(box.tolist()) for box in free]) == expected


@pytest.mark.parametrize("seed", range(30))
def test_parts_at_one_place_are_grouped_alike(seed):
    """On the coarse grid of the masks, where two queries show one part and distances are equal."""
    rng = np.random.default_rng(seed)
    boxes = np.repeat(random_boxes(rng, 20, size=36, most=12), 2, axis=0)
    classes = np.repeat(rng.integers(0, 9, 20), 2)
    boxes[::8, :2] -= 1  # about the same centre, but larger
    boxes[::8, 2:] += 1
    scores = rng.random(40, dtype=np.float32)
    expected = group_into_vehicles(
        torch.tensor(boxes, dtype=torch.float32),
        torch.tensor(classes),
        torch.tensor(scores),
        VehicleKinds(once=(1, 2, 4, 5)),
    )
    found = runtime.group(boxes, classes, scores, [], [1, 2, 4, 5])
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (6, 6), (1, 4)])
def test_pairs_cost_least(rng, shape):
    cost = rng.random(shape)
    chosen = runtime._assign(cost)
    rows, columns = linear_sum_assignment(cost)
    assert chosen[rows].tolist() == columns.tolist()
    rest = np.setdiff1d(np.arange(len(cost)), rows)
    assert chosen[rest].tolist() == cost.argmin(1)[rest].tolist()


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_specks_are_dropped_alike(rng, share):
    for shape in ((1, 1), (1, 40), (40, 1), (30, 50)):
        mask = rng.random(shape) < share
        mask[0, 0] = True
        expected = postprocess.drop_specks(mask.view(np.uint8))[0]
        assert np.array_equal(runtime.drop_specks(mask), expected.view(bool))


def test_a_spiral_is_one_piece():
    mask = np.zeros((41, 41), bool)
    for ring in range(0, 20, 2):
        mask[ring, ring - 1 if ring else 0 : 41 - ring] = True
        mask[ring : 41 - ring, 40 - ring] = True
        mask[40 - ring, ring : 41 - ring] = True
        mask[ring + 2 : 41 - ring, ring] = True
    assert np.array_equal(runtime.drop_specks(mask), mask)


@pytest.mark.parametrize("size", [(20, 31), (97, 41), (300, 500), (1, 9)])
def test_masks_are_enlarged_alike(rng, size):
    logits = cv2.GaussianBlur(rng.normal(size=(36, 36)).astype(np.float32), (7, 7), 0)
    canvas = 72
    scale = canvas / max(size)
    resized = tuple(max(1, round(side * scale)) for side in size)
    frame = Frame(size, resized, canvas)
    expected = np.zeros(size, bool)
    for piece in enlarge(torch.from_numpy(logits)[None], 0.0, frame):
        expected[piece.place] = piece.values.numpy() > 0
    sides = zip(size, resized, strict=True)
    axes = [runtime.tent(side, 36, 36 * small / canvas) for side, small in sides]
    box, mask = runtime.enlarge(logits, *axes)
    left, top, right, bottom = box
    found = np.zeros(size, bool)
    found[top:bottom, left:right] = mask
    assert np.array_equal(found, postprocess.drop_specks(expected.view(np.uint8))[0].view(bool))
    assert runtime.enlarge(-np.ones((36, 36), np.float32), *axes) is None


@pytest.mark.parametrize(("counting", "attached"), [(1, 0), (1, 1), (3, 0), (2, 2)])
def test_parts_are_united_alike(rng, counting, attached):
    count = counting + attached
    masks = 12 * rng.normal(size=(count, 5, 6)).astype(np.float32)
    presence, iou = (rng.normal(size=count).astype(np.float32) for _ in range(2))
    columns = (torch.tensor(x)[None] for x in (masks, presence, iou))
    members = Members.from_pairs(
        classes=torch.tensor([0]),
        group=torch.tensor([0]),
        union=torch.zeros(count, dtype=torch.int64),
        part=torch.arange(count),
        counts=torch.tensor([1] * counting + [0] * attached),
    )
    expected = unite(DecoderOutput(*columns, features=None), members)
    mask, there, quality = runtime.join(
        masks, runtime.sigmoid(presence), runtime.sigmoid(iou), counting
    )
    assert np.allclose(mask, expected.masks[0, 0], rtol=1e-4, atol=1e-3)
    assert there == pytest.approx(float(expected.presence.sigmoid()), abs=1e-6)
    assert quality == pytest.approx(float(expected.iou.sigmoid()), abs=1e-5)


def test_photos_are_read_alike(rng, tmp_path):
    pixels = rng.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels[..., :3]).save(tmp_path / "turned.jpg", exif=turned)
    Image.fromarray(pixels).save(tmp_path / "glass.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    for name in ("turned.jpg", "glass.png", "grey.png"):
        assert np.array_equal(runtime.read_photo(tmp_path / name), read_rgb(tmp_path / name)), name
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 200).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png: more than 8 bits"):
        runtime.read_photo(tmp_path / "deep.png")


def test_a_png_that_claims_gigabytes_takes_no_memory_for_them(tmp_path):
    check_claims_take_no_memory(runtime.read_photo, tmp_path / "a.png")
