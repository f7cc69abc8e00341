import numpy as np
import pytest
from PIL import Image

from sav.d2 import ColorMode, MetadataCatalog, Visualizer, load_coco_json
from tests.d2.toy import predicted


@pytest.fixture
def metadata():
    facts = MetadataCatalog.get("drawn")
    facts.set(thing_classes=["wheel", "door"], thing_colors=[(255, 0, 0), (0, 0, 255)])
    yield facts
    MetadataCatalog.remove("drawn")


def grey(height=120, width=160):
    return np.full((height, width, 3), 128, np.uint8)


INSTANCES = predicted((120, 160), [[10, 60, 70, 115], [90, 60, 150, 115]], [0, 1], [0.9, 0.8])


def test_instances_have_the_colours_of_their_classes(metadata):
    image = grey()
    drawn = Visualizer(image, metadata).draw_instance_predictions(INSTANCES).get_image()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (image == 128).all()
    red, blue = drawn[110, 15].astype(int), drawn[110, 145].astype(int)
    assert red[0] - red[2] > 60
    assert blue[2] - blue[0] > 60
    assert np.abs(drawn[30, 5].astype(int) - 128).max() <= 2


def test_scale_and_saving(metadata, tmp_path):
    output = Visualizer(grey(), metadata, scale=2.0).draw_instance_predictions(INSTANCES)
    assert output.get_image().shape == (240, 320, 3)
    output.save(str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.size == (320, 240)


def test_nothing_to_draw_and_no_metadata(metadata):
    nothing = predicted((120, 160), [], [], [])
    drawn = Visualizer(grey(), metadata).draw_instance_predictions(nothing).get_image()
    assert np.abs(drawn.astype(int) - 128).max() <= 2
    plain = Visualizer(grey()).draw_instance_predictions(INSTANCES).get_image()
    assert (plain != 128).any()


def test_background_loses_its_colour(metadata):
    image = grey()
    image[..., 0] = 250
    view = Visualizer(image, metadata, instance_mode=ColorMode.IMAGE_BW)
    drawn = view.draw_instance_predictions(INSTANCES).get_image()
    assert np.ptp(drawn[30, 5].astype(int)) <= 2
    assert np.ptp(drawn[110, 145].astype(int)) > 30


def test_annotations_are_drawn(dataset, coco_root):
    records = load_coco_json(str(coco_root / "coco.json"), str(coco_root), dataset)
    for record in records:
        view = Visualizer(grey(40, 60), MetadataCatalog.get(dataset))
        drawn = view.draw_dataset_dict(record).get_image()
        assert (np.abs(drawn.astype(int) - 128).max() > 2) == bool(record["annotations"])


def square(row, column, side=4, size=(300, 400)):
    mask = np.zeros(size, bool)
    mask[row : row + side, column : column + side] = True
    return mask


def draw(masks, labels, size=(300, 400), color=(1.0, 0.0, 0.0), **options):
    view = Visualizer(np.full((*size, 3), 252, np.uint8), **options)
    colors = [color] * len(masks)
    return view.overlay_instances(masks=masks, labels=labels, assigned_colors=colors).get_image()


def plates(drawn):
    """Where the dark plates of names are: a quarter of the image's 252."""
    return (drawn == 63).all(axis=-1)


def is_red(drawn):
    return drawn[..., 0].astype(int) - drawn[..., 2] > 110


def test_names_do_not_cover_one_another():
    one = plates(draw([square(150, 200)], ["Left back door 93%"])).sum()
    crowd = [square(150 + 5 * i, 200 + 5 * i) for i in range(8)]
    many = plates(draw(crowd, ["Left back door 93%"] * 8)).sum()
    # Lines to the parts pass below some plates.
    assert one > 500
    assert 0.9 * 8 * one < many <= 8 * one


def test_names_stay_inside_the_image():
    one = plates(draw([square(150, 200)], ["Left back door 93%"])).sum()
    for row, column in ((0, 0), (0, 396), (296, 0), (296, 396)):
        corner = plates(draw([square(row, column)], ["Left back door 93%"])).sum()
        assert corner > 0.97 * one
    draw([np.ones((1, 2), bool)], ["Left back door 93%"], size=(1, 2))
    narrow = draw([square(2, 2, size=(300, 12))], ["Left back door 93%"], size=(300, 12))
    assert not plates(narrow).any()
    assert is_red(narrow).any()


@pytest.mark.parametrize("size", [(200, 200), (300, 400), (3000, 4000)])
def test_names_do_not_hide_parts_of_a_few_pixels(size):
    middle = size[0] // 2, size[1] // 2
    handles = [square(middle[0], middle[1] + 8 * i, 4, size) for i in range(3)]
    drawn = draw([np.ones(size, bool), *handles], ["Body", *["Handle"] * 3], size)
    for handle in handles:
        assert is_red(drawn)[handle].mean() > 0.6


def test_outlines_leave_parts_of_a_few_pixels_their_colour():
    drawn = draw([square(150, 200, side=2)], None)
    red = is_red(drawn)
    assert red[150:152, 200:202].all()
    assert red.sum() == 4
    assert (drawn[149, 200:202] < 252).any()


def test_a_part_smaller_than_a_pixel_of_the_drawing_is_still_seen():
    assert is_red(draw([square(150, 200, side=2)], None, scale=0.1)).any()
    assert not is_red(draw([np.zeros((300, 400), bool)], ["none"], scale=0.1)).any()


def test_a_class_has_one_colour_in_all_images(metadata):
    first = predicted((120, 160), [[10, 60, 70, 115]], [1], [0.9])
    later = predicted((120, 160), [[90, 60, 150, 115], [12, 60, 72, 115]], [0, 1], [0.9, 0.5])
    for known in (metadata, None):
        colors = [
            Visualizer(grey(), known).draw_instance_predictions(parts).get_image()[110, 40]
            for parts in (first, later)
        ]
        assert np.array_equal(*colors)


def test_names_move_with_their_parts():
    places = []
    for shift in range(0, 20, 2):
        masks = [square(150, 180 + shift, 10), square(165, 180 + shift, 60)]
        drawn = plates(draw(masks, ["Handle", "Left back door"]))
        rows, columns = drawn.nonzero()
        places.append((rows.mean(), columns.mean() - shift))
    assert np.ptp(places, axis=0).max() < 8


def test_boxes_where_there_are_no_masks(metadata):
    parts = INSTANCES[:]
    parts.remove("pred_masks")
    drawn = Visualizer(grey(), metadata).draw_instance_predictions(parts).get_image()
    assert drawn[60, 40].tolist() == [255, 0, 0]
    assert drawn[110, 30].tolist() == [128] * 3
