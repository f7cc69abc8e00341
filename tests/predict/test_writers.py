import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from sav.d2 import Boxes, Instances
from sav.errors import SAVError
from sav.formats.mask_pixels import read_pixels
from sav.formats.reading import Reading, read_entry
from sav.formats.registry import FORMATS
from sav.ontology import load_ontology
from sav.predict.sources import Video
from sav.predict.writers import WRITERS, Prediction, plan_outputs, video_writer

ONTOLOGY = load_ontology("vehicleseg10k")
HEIGHT, WIDTH = 40, 60


def draw(polygons, height, width):
    """As converters draw them."""
    flat = [np.asarray(polygon).ravel().tolist() for polygon in polygons]
    codes = coco_mask.frPyObjects(flat, height, width)
    return coco_mask.decode(coco_mask.merge(codes)).astype(bool)


@pytest.fixture
def prediction(tmp_path, photo):
    masks = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    masks[0, 25:35, 5:15] = True
    masks[1, 5:30, 2:55] = True
    parts = Instances((HEIGHT, WIDTH))
    parts.pred_masks = masks
    parts.pred_boxes = Boxes(torch.tensor([[5.0, 25, 15, 35], [2, 5, 55, 30]]))
    parts.scores = torch.tensor([0.6, 0.9])
    parts.pred_classes = torch.tensor([2, 0])
    parts.vehicle_ids = torch.tensor([1, 0])
    part_map = masks[1].numpy().astype(np.uint8)
    part_map[masks[0].numpy()] = 3
    image = photo(HEIGHT, WIDTH)
    return Prediction(tmp_path / "photos" / "a.jpg", image, parts, part_map, ONTOLOGY)


def write(name, tmp_path, prediction):
    (path,) = plan_outputs([Path("a.jpg")], tmp_path / "out", [name])[Path("a.jpg")].values()
    WRITERS[name](path, prediction)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return path


def test_json_holds_everything_best_first(tmp_path, prediction):
    read = json.loads(write("json", tmp_path, prediction).read_text())
    assert (read["width"], read["height"], read["ontology"]) == (WIDTH, HEIGHT, "vehicleseg10k")
    assert read["file"] == str(prediction.path)
    body, wheel = read["parts"]
    assert (body["name"], body["class_id"], body["score"]) == ("Foreground", 0, 0.9)
    assert (wheel["name"], wheel["vehicle_id"], wheel["box"]) == ("Wheel", 1, [5, 25, 15, 35])
    decoded = coco_mask.decode(wheel["mask"]).astype(bool)
    assert np.array_equal(decoded, prediction.parts.pred_masks[0].numpy())


def test_labelme_draft_draws_the_masks_again(tmp_path, prediction):
    path = write("labelme", tmp_path, prediction)
    read = json.loads(path.read_text())
    assert (path.parent / read["imagePath"]).resolve() == prediction.path.resolve()
    assert (read["imageWidth"], read["imageHeight"]) == (WIDTH, HEIGHT)
    # The larger part comes first: converters paint in file order.
    assert [s["label"] for s in read["shapes"]] == ["Foreground", "Wheel"]
    assert [s["group_id"] for s in read["shapes"]] == [0, 1]
    drawn = draw([read["shapes"][1]["points"]], HEIGHT, WIDTH)
    assert np.array_equal(drawn, prediction.parts.pred_masks[0].numpy())


def test_drafts_read_back_with_vehicles_and_scores(tmp_path, prediction):
    prediction.path.parent.mkdir()
    Image.fromarray(prediction.image).save(prediction.path)
    prediction.parts.pred_masks[0, 25:35, 8:10] = False  # a wheel in two pieces
    path = write("labelme", tmp_path, prediction)
    (entry,) = FORMATS["labelme"].find(path, prediction.path.parent)
    found = read_entry(FORMATS["labelme"], Reading(), entry).instances
    columns = [(part.label, part.vehicle_id, part.score) for part in found]
    assert columns == [("Foreground", 0, 0.9), ("Wheel", 1, 0.6)]
    assert np.array_equal(found[1].mask, prediction.parts.pred_masks[0].numpy())


def test_mask_png_holds_indices_and_colours(tmp_path, prediction):
    with Image.open(write("mask", tmp_path, prediction)) as image:
        assert np.array_equal(np.asarray(image), prediction.part_map)
        assert image.convert("RGB").getpixel((6, 26)) == tuple(ONTOLOGY.colors[2])
    pixels = read_pixels(tmp_path / "out" / "a_mask.png", HEIGHT, WIDTH)
    assert [*pixels.names.values.values()] == ONTOLOGY.class_names


def test_overlay_is_enlarged_and_coloured(tmp_path, prediction):
    with Image.open(write("overlay", tmp_path, prediction)) as image:
        assert image.size == (768, 512)
        assert len(image.getcolors(1 << 24)) > 100


def test_report_says_what_is_seen_of_each_vehicle(tmp_path, prediction):
    read = json.loads(write("report", tmp_path, prediction).read_text())
    assert (read["schema"], read["file"]) == ("sav-report/1", str(prediction.path))
    body, wheel = read["vehicles"]
    assert (body["vehicle_id"], body["parts"][0]["name"]) == (0, "Foreground")
    assert body["parts"][0]["share"] == 1
    assert (wheel["parts"][0]["area"], wheel["parts"][0]["box"]) == (100, [5, 25, 15, 35])


def test_the_page_of_reports_is_not_overwritten_either(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("mine")
    with pytest.raises(SAVError, match=r"report\.html: exists already"):
        plan_outputs([Path("a.jpg")], tmp_path / "out", ["report"])
    plan_outputs([Path("a.jpg")], tmp_path / "out", ["json"])


def test_photo_without_parts_is_written_too(tmp_path, prediction):
    none = prediction.parts[prediction.parts.scores > 1]
    empty = Prediction(
        prediction.path, prediction.image, none, np.zeros((HEIGHT, WIDTH), np.uint8), ONTOLOGY
    )
    for name in WRITERS:
        path = write(name, tmp_path / name, empty)
        if name == "json":
            assert json.loads(path.read_text())["parts"] == []


def test_outputs_of_one_name_are_refused(tmp_path):
    inputs = [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.png"]
    with pytest.raises(SAVError, match="would both become"):
        plan_outputs(inputs, tmp_path / "out", ["mask"])


def test_folder_of_the_photos_is_refused_as_output(tmp_path):
    with pytest.raises(SAVError, match="choose another --output"):
        plan_outputs([tmp_path / "x.jpg"], tmp_path / "sub" / "..", ["json"])


@pytest.mark.parametrize(
    ("source", "name", "mine"),
    [
        ("x.jpg", "labelme", "labelme/x.json"),
        ("x.jpg", "json", "x.json"),
        ("x.jpg", "mask", "x_mask.png"),
        ("x.jpg", "overlay", "x_overlay.png"),
        ("x.jpg", "report", "x_report.json"),
        ("x.mp4", "json", "x.json"),
        ("x.mp4", "overlay", "x_overlay.mp4"),
    ],
)
def test_files_of_others_are_not_overwritten(tmp_path, source, name, mine):
    file = tmp_path / "out" / mine
    file.parent.mkdir(parents=True)
    file.write_text("an annotator's work")
    inputs = [tmp_path / "new.jpg", tmp_path / source]
    with pytest.raises(SAVError, match=rf"{file.name}: exists already; .*--overwrite"):
        plan_outputs(inputs, tmp_path / "out", [name])
    plan = plan_outputs(inputs, tmp_path / "out", [name], overwrite=True)
    assert plan[inputs[1]] == {name: file}


def test_output_folders_that_cannot_be_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SAVError, match="is not a folder"):
        plan_outputs([tmp_path / "x.jpg"], tmp_path / "file" / "out", ["json"])


def test_videos_have_no_masks(tmp_path):
    plan = plan_outputs([tmp_path / "v.MP4"], tmp_path / "out", ["overlay", "json"])
    assert sorted(p.name for p in plan[tmp_path / "v.MP4"].values()) == ["v.json", "v_overlay.mp4"]
    with pytest.raises(SAVError, match="json or overlay only"):
        plan_outputs([tmp_path / "v.mp4"], tmp_path / "out", ["mask"])


def test_a_video_is_there_when_all_its_frames_can_be_read(tmp_path):
    frame = np.zeros((32, 48, 3), np.uint8)

    def write(*frames):
        with video_writer(tmp_path / "a.mp4", 5) as append:
            for one in frames:
                append(one)

    with pytest.raises(SAVError, match=r"a\.mp4: only 0 of 0 frames"):
        write()
    with pytest.raises(SAVError, match=r"a\.mp4: only 1 of 2 frames"):
        write(frame, frame[:16])  # OpenCV drops frames of another size without a word
    with pytest.raises(SAVError, match="cannot write an MP4 video of 48x0 pixels"):
        write(frame[:1])
    assert not list(tmp_path.iterdir())


def test_video_frames_keep_their_colours(tmp_path):
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 220
    with video_writer(tmp_path / "red.mp4", 5) as append:
        append(red)
    (frame,) = Video(tmp_path / "red.mp4").frames()
    assert np.abs(frame.reshape(-1, 3).mean(axis=0) - [220, 0, 0]).max() < 25
