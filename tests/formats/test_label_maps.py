"""Label maps: values and colours, their names, and where they lie."""

import json

import numpy as np
import pytest
from PIL import Image

from sav.cli import dispatch
from sav.errors import SAVError
from sav.formats.index_mask import codes_of_map, joined_components, shapes_of_labels
from sav.formats.label_maps import MASKS
from sav.formats.labels import Labels
from sav.formats.mask_names import read_names, voc_palette
from sav.formats.mask_pixels import names_in_png
from sav.formats.masks import decode_codes, run_length_code
from sav.formats.reading import Reading
from sav.formats.registry import detect_format
from sav.ontology import load_ontology
from tests.formats.tools import DATA, SIZE, box, photo, read_all

DOOR, WHEEL = 1, 2
NAMES = "background\ndoor\nwheel\n"
COLORS = "background:0,0,0::\ndoor:200,0,10::\nwheel:10,20,30::\n"


def values():
    """A door cut in two by a pole, and two wheels."""
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[5:25, 5:40] = DOOR
    labels[5:25, 20:22] = 0
    labels[25:35, 8:18] = labels[25:35, 28:38] = WHEEL
    return labels


def data_set(root, mask, names=NAMES, file="classes.txt", folders=("images", "masks"), **options):
    photo(root / folders[0], "car.jpg")
    (root / folders[1]).mkdir(parents=True, exist_ok=True)
    picture = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
    picture.save(root / folders[1] / "car.png", **options)
    if names:
        (root / file).write_text(names)
    return root


def found(root, **options):
    """{label: areas}, and problems."""
    parts, problems = read_all("masks", root, **options)
    areas = {}
    for part in next(iter(parts.values()), []):
        areas.setdefault(part.label, []).append(part.area)
    return areas, problems


def palette_image(colors):
    picture = Image.fromarray(values())
    picture.putpalette(np.array(colors, dtype=np.uint8).ravel().tolist())
    return picture


@pytest.mark.parametrize(
    "mask",
    [
        values(),
        values().astype(np.uint16),
        palette_image([[9, 9, 9], [1, 2, 3], [4, 5, 6]]),
        np.repeat(values()[..., None], 3, axis=2),
    ],
    ids=["grey", "16 bits", "palette", "grey in three channels"],
)
def test_values(tmp_path, mask):
    root = data_set(tmp_path, mask)
    assert detect_format(root).name == "masks"
    assert found(root) == ({"door": [360, 300], "wheel": [100, 100]}, [])


@pytest.mark.parametrize("file", ["labelmap.txt", "label_colors.txt", "labels.json"])
@pytest.mark.parametrize("palette", [True, False])
def test_colours(tmp_path, file, palette):
    colors = {"background": [0, 0, 0], "door": [200, 0, 10], "wheel": [10, 20, 30]}
    rows = np.array([*colors.values()], dtype=np.uint8)
    mask = palette_image(rows) if palette else rows[values()]
    names = {
        "labelmap.txt": f"# label:color_rgb:parts:actions\n{COLORS}",
        "label_colors.txt": "0 0 0 background\n200 0 10 door\n10 20 30 wheel\n",
        "labels.json": json.dumps(colors),
    }[file]
    root = data_set(tmp_path, mask, names, file)
    assert found(root) == ({"door": [360, 300], "wheel": [100, 100]}, [])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("labels.yaml", "{0: background, 1: door, 2: wheel}"),
        ("data.yaml", "names: [_background_, door, wheel]"),
        ("class_names.txt", "__ignore__\n_background_\ndoor\nwheel\n"),
        ("names.txt", "door\nwheel\n"),
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, door\n2, wheel\n"),
        ("id2label.json", '{"0": "background", "1": "door", "2": "wheel"}'),
        ("classes.json", '{"door": 1, "wheel": 2}'),
    ],
)
def test_names_of_values(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    names = read_names(tmp_path / file)
    assert {value: name for value, name in names.values.items() if name} == {1: "door", 2: "wheel"}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("labelmap.txt", "a:1,2,3::\na:4,5,6::\n", "the same name"),
        ("labelmap.txt", "a:1,2,3::\nb:1,2,3::\n", "'b' and 'a' have the same colour"),
        ("labelmap.txt", "a:1,2,300::\n", "not three numbers of 0 to 255"),
        ("labelmap.txt", "a:1,2,3::\nb\n", "the line 'b' has no colour"),
        ("labelmap.txt", "", "no list of names"),
        ("labels.json", "[1, 2]", "no list of names"),
        ("labels.json", "{", "cannot be read"),
        ("labels.json", "[" * 100_000, "cannot be read"),
        ("labels.json", '{"a": 1, "b": 1}', "two names have the same value"),
        ("labels.json", '{"a": [1, 2]}', "no mapping of names"),
        ("labels.yaml", "3", "no names of classes"),
    ],
)
def test_names_that_cannot_be_used_are_one_error(tmp_path, file, text, message):
    root = data_set(tmp_path, values(), text, file)
    (root / file).write_text(text)
    with pytest.raises(SAVError, match=message):
        found(root)


def test_an_ontology_says_what_comes_apart(tmp_path):
    ontology = load_ontology("vehicleseg10k")
    joined = joined_components(ontology)
    assert joined["Foreground"] == "vehicle"
    assert "Wheel" not in joined
    assert joined_components(load_ontology("dsmlr"))["hood"] == "photo"
    root = data_set(tmp_path, values())
    assert found(root, reading=Reading(joined={"door": "photo"}))[0]["door"] == [660]


def test_pixels_of_which_nothing_is_said_are_no_part(tmp_path):
    mask = values()
    mask[0, :] = 255
    assert found(data_set(tmp_path, mask)) == ({"door": [360, 300], "wheel": [100, 100]}, [])


def unknown_value(mask):
    mask[40:44, 40:44] = 7
    return "value 7: classes.txt has no name for it", {"door", "wheel"}


def two_values(mask):
    mask[mask > 0] = 255
    return "255 means that nothing is said", set()


def smoothed(mask):
    mask[:] = np.arange(mask.size).reshape(SIZE) % 251
    return "251 values, and 248 of them are no class, such as value 250", set()


def one_unknown(mask):
    mask[:] = 0
    mask[0, 0] = 9
    return "value 9: classes.txt has no name for it", set()


@pytest.mark.parametrize("spoil", [unknown_value, two_values, smoothed, one_unknown])
def test_a_lost_value_is_a_problem(tmp_path, spoil):
    mask = values()
    message, kept = spoil(mask)
    areas, problems = found(data_set(tmp_path, mask))
    assert message in problems[0]
    assert areas.keys() == kept


def test_noise_is_no_label_map(tmp_path):
    labels = np.random.default_rng(0).integers(0, 40, (400, 400)).astype(np.uint8)
    with pytest.raises(SAVError, match="more than 10000 pieces"):
        list(shapes_of_labels(labels, [None, *map(str, range(1, 40))]))


def test_a_map_of_depths_is_no_label_map(tmp_path):
    depths = np.arange(SIZE[0] * SIZE[1], dtype=np.uint16).reshape(SIZE)
    _, problems = found(data_set(tmp_path, depths, None))
    assert "it holds 3072 values" in problems[0]


def test_colours_without_names_are_a_problem(tmp_path):
    rows = np.array([[0, 0, 0], [200, 0, 10], [10, 20, 30]], dtype=np.uint8)
    areas, problems = found(data_set(tmp_path, rows[values()]))
    assert not areas
    assert "put a labelmap.txt" in problems[0]


def test_masks_of_another_size_are_not_even_opened(tmp_path):
    root = data_set(tmp_path, np.zeros((20_000, 20_000), dtype=np.uint8))
    _, problems = found(root)
    assert "too large" in problems[0] or "the mask is 20000x20000" in problems[0]


@pytest.mark.parametrize(
    ("photos", "masks"),
    [
        ("images", "annotations"),
        ("images/train", "masks/train"),
        ("valid/images", "valid/masks"),
        ("car/image/4ef6", "car/seg/4ef6"),
        ("Images/car_imagenet_cropped", "Annotations_png/car_imagenet_cropped"),
        ("img_dir/val", "ann_dir/val"),
        ("JPEGImages", "SegmentationClass"),
        ("images", "annotations/SegmentationClass"),
    ],
)
def test_photos_lie_beside_masks(tmp_path, photos, masks):
    root = data_set(tmp_path, values(), folders=(photos, masks))
    photo(root / photos, "other.jpg")
    Image.new("RGB", SIZE[::-1]).save(root / masks / "car_color.png")
    areas, problems = found(root)
    assert areas == {"door": [360, 300], "wheel": [100, 100]}
    assert len(problems) == 1
    assert problems[0].endswith("other.jpg: the image has no mask")


def test_masks_among_photos_as_roboflow_lays_them(tmp_path):
    for split in ("train", "valid"):
        photo(tmp_path / split, f"{split}.jpg")
        Image.fromarray(values()).save(tmp_path / split / f"{split}_mask.png")
        (tmp_path / split / "_classes.csv").write_text(
            "Pixel Value, Class\n0, background\n1, door\n2, wheel\n"
        )
    assert detect_format(tmp_path).name == "masks"
    parts, problems = read_all("masks", tmp_path)
    assert not problems
    assert {name: len(one) for name, one in parts.items()} == {
        "train/train.jpg": 4,
        "valid/valid.jpg": 4,
    }


def test_uda_part_as_its_readers_know_it(tmp_path):
    """Cropped real photos; values are the classes in order, and no file has their names."""
    ontology = load_ontology("udapart_car")
    mask = np.zeros(SIZE, dtype=np.uint8)
    mask[5:25, 5:25] = ontology.class_id("hood") + 1
    mask[30:40, 30:50] = ontology.class_id("trunk") + 1
    folders = ("Images/car_imagenet_cropped", "Annotations_png/car_imagenet_cropped")
    data_set(tmp_path, mask, None, folders=folders)
    (tmp_path / folders[0] / "car.jpg").rename(tmp_path / folders[0] / "car.JPEG")
    command = ["prepare", "masks", "--data", str(tmp_path / folders[1])]
    command += ["--images", str(tmp_path / folders[0]), "--ontology", "udapart_car"]
    with pytest.raises(SAVError, match="class 18 has no name in the data"):
        dispatch([*command, "--out", str(tmp_path / "a"), "--workers", "1"])
    dispatch([*command, "--out", str(tmp_path / "b"), "--workers", "1", "--by-number", "--strict"])
    contents = json.loads((tmp_path / "b" / "instances_train.json").read_text())
    found = [ontology.class_names[a["category_id"] - 1] for a in contents["annotations"]]
    assert sorted(found) == ["hood", "trunk"]


def test_masks_that_sav_predicted_have_their_names(tmp_path):
    photo(tmp_path / "photos", "car.jpg")
    (tmp_path / "out").mkdir()
    Image.fromarray(values()).save(
        tmp_path / "out" / "car_mask.png", pnginfo=names_in_png(["door", "wheel"])
    )
    areas, problems = found(tmp_path / "out", images=tmp_path / "photos")
    assert (areas, problems) == ({"door": [360, 300], "wheel": [100, 100]}, [])


def test_instances_of_datumaro_and_cvat():
    data = DATA / "datumaro"
    assert detect_format(data).name == "masks"
    reading = Reading(Labels(["Foreground", "Wheel"]), min_pixels=1, joined={"Wheel": "photo"})
    parts, problems = read_all("masks", data, reading=reading)
    assert not problems
    body = box(5, 5, 50, 35) & ~box(20, 15, 30, 20) & ~box(8, 30, 20, 44) & ~box(36, 30, 48, 44)
    first, *wheels = parts["a.jpg"]
    np.testing.assert_array_equal(first.mask, body)
    # Objects are told apart, so what the vocabulary says of components does not count.
    expected = {box(8, 30, 20, 44).tobytes(), box(36, 30, 48, 44).tobytes()}
    assert {part.mask.tobytes() for part in wheels} == expected
    assert [part.label for part in parts["b.jpg"]] == ["Wheel"]


def test_a_labelmap_without_colours_means_the_palette_of_pascal_voc(tmp_path):
    mask = voc_palette(3)[values()]
    root = data_set(tmp_path, mask, "background:::\ndoor:::\nwheel:::\n", "labelmap.txt")
    assert found(root) == ({"door": [360, 300], "wheel": [100, 100]}, [])
    assert voc_palette(6).tolist()[1:] == [
        [128, 0, 0],
        [0, 128, 0],
        [128, 128, 0],
        [0, 0, 128],
        [128, 0, 128],
    ]


def test_the_masks_of_a_map_are_its_values():
    numbers = np.random.default_rng(0).integers(0, 5, (13, 17))
    codes = {number: run_length_code(code, 13, 17) for number, code, _ in codes_of_map(numbers)}
    assert codes.keys() == {1, 2, 3, 4}
    for number, code in codes.items():
        np.testing.assert_array_equal(decode_codes([code], 13, 17)[0], numbers == number)
    assert codes_of_map(np.zeros((3, 4), dtype=int)) == []
    ((number, code, _),) = codes_of_map(np.full((3, 4), 7))
    assert (number, run_length_code(code, 3, 4)["size"]) == (7, [3, 4])


@pytest.mark.parametrize("name", ["a:b", "background", "BG", "_background_", "#a", "a\nb", "void"])
def test_a_label_that_a_label_map_cannot_have_is_said(tmp_path, name):
    with pytest.raises(SAVError, match="a label map cannot have it"):
        MASKS.write(iter(()), ["door", name], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_data_set_may_be_called_as_its_masks_are(tmp_path):
    data = tmp_path / "masks"
    photo(data / "images")
    (data / "masks").mkdir()
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[4:20, 4:20] = 1
    Image.fromarray(labels).save(data / "masks" / "car.png")
    (data / "masks" / "classes.txt").write_text("door\n")
    parts, problems = read_all("masks", data)
    assert ([part.label for part in parts["car.jpg"]], problems) == (["door"], [])


def test_a_mask_of_two_photos_is_of_none(tmp_path):
    photo(tmp_path / "images", "car.jpg")
    photo(tmp_path / "images", "car.png")
    photo(tmp_path / "images", "bus.jpg")
    (tmp_path / "masks").mkdir()
    for name in ("car", "bus"):
        Image.fromarray(np.ones(SIZE, dtype=np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "masks" / "classes.txt").write_text("door\n")
    parts, problems = read_all("masks", tmp_path)
    assert list(parts) == ["bus.jpg"]
    assert len(problems) == 3
