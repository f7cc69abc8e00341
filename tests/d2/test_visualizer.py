import numpy as np
import pytest
from PIL import Image

from sav.d2 import ColorMode, MetadataCatalog, Visualizer, load_coco_json

from .toy import predicted


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
