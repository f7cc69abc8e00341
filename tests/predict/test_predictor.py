import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import supervision
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sav
from sav.config import load_config
from sav.d2 import Instances, build_model
from sav.errors import SAVError
from sav.gallery.files import save_gallery
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.gallery.vehicles import Vehicle
from sav.predict.predictor import SAVPredictor

from ..tiny import tiny_config


@pytest.fixture
def copied_run(run_folder, tmp_path):
    return shutil.copytree(run_folder, tmp_path / "run")


def same(first, second):
    assert torch.equal(first.pred_classes, second.pred_classes)
    assert torch.allclose(first.scores, second.scores, atol=1e-4)
    assert (first.pred_masks != second.pred_masks).float().mean() < 1e-3


def test_result_is_at_the_photos_resolution(predictor, photo):
    parts = predictor(photo(100, 70))
    assert isinstance(parts, Instances)
    assert parts.image_size == (100, 70)
    assert parts.pred_masks.shape == (len(parts), 100, 70)
    assert parts.pred_masks.dtype == torch.bool
    assert len(parts) > 0
    assert parts.pred_boxes.tensor.shape == (len(parts), 4)
    assert ((parts.scores >= 0) & (parts.scores <= 1)).all()
    assert parts.vehicle_ids.dtype == torch.int64
    assert int(parts.pred_classes.max()) < len(predictor.class_names)


def test_boxes_enclose_the_masks_in_xyxy_pixels(predictor, photo):
    parts = predictor(photo())
    for mask, box in zip(parts.pred_masks, parts.pred_boxes.tensor.tolist(), strict=True):
        rows, columns = mask.nonzero(as_tuple=True)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box == [float(v) for v in expected]


def test_batch_equals_single_photos_of_any_size(predictor, photo):
    images = [photo(48, 80, 1), photo(90, 60, 2)]
    for batched, image in zip(predictor.predict_batch(images), images, strict=True):
        same(batched, predictor(image))
    assert predictor.predict_batch([]) == []


def test_batches_may_be_arrays_or_iterators(predictor, photo):
    stack = np.stack([photo(48, 64, 1), photo(48, 64, 2)])
    expected = [len(parts) for parts in predictor.predict_batch(list(stack))]
    for batch in (stack, tuple(stack), iter(stack)):
        assert [len(parts) for parts in predictor.predict_batch(batch)] == expected
    assert predictor.predict_batch(stack[:0]) == []


def test_photos_may_come_in_any_form(predictor, photo, tmp_path):
    image = photo(60, 90)
    turned = Image.fromarray(np.rot90(image))  # as a camera held upright writes it
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    forms = [
        image,
        torch.from_numpy(image).permute(2, 0, 1),
        Image.fromarray(image),
        str(tmp_path / "turned.png"),
        tmp_path / "turned.png",
    ]
    expected = predictor(image)
    for form in (*forms, Image.open(tmp_path / "turned.png")):
        same(predictor(form), expected)
    for parts in (*predictor(forms), *predictor.predict_batch(tuple(forms))):
        same(parts, expected)
    with pytest.raises(SAVError, match="boxes are of one photo"):
        predictor(forms, boxes=[[0, 0, 9, 9]])


def test_threads_may_share_a_predictor(predictor, photo):
    images = [photo(48, 80, seed) for seed in range(6)]
    expected = [predictor(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = [*pool.map(predictor, 4 * images)]
    for parts, wanted in zip(found, 4 * expected, strict=True):
        same(parts, wanted)


def test_parts_go_to_supervision(predictor, photo):
    parts = predictor(photo(60, 90))
    detections = predictor.to_supervision(parts)
    assert isinstance(detections, supervision.Detections)
    assert len(detections) == len(parts) > 0
    assert np.array_equal(detections.mask, parts.pred_masks.numpy())
    assert np.array_equal(detections.xyxy, parts.pred_boxes.tensor.numpy())
    assert np.array_equal(detections.confidence, parts.scores.numpy())
    assert detections.class_id.tolist() == parts.pred_classes.tolist()
    names = [predictor.class_names[i] for i in parts.pred_classes.tolist()]
    assert detections.data["class_name"].tolist() == names
    assert detections.data["vehicle_id"].tolist() == parts.vehicle_ids.tolist()
    one = detections[detections.data["vehicle_id"] == 0]
    assert len(one) == int((parts.vehicle_ids == 0).sum())
    assert len(predictor.to_supervision(parts[:0])) == 0


def test_without_supervision_it_says_what_to_install(predictor, photo, monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SAVError, match="pip install supervision"):
        predictor.to_supervision(predictor(photo()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_of_a_process_that_has_predicted_says_so(predictor, photo):
    predictor(photo())
    child = os.fork()
    if child == 0:
        torch.set_num_threads(2)
        try:
            predictor(photo())
        except SAVError as error:
            os._exit(7 if "forked" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_call_leaves_the_photo_alone_and_repeats(predictor, photo):
    image = photo()
    before = image.copy()
    same(predictor(image), predictor(image))
    assert np.array_equal(image, before)


def test_views_with_negative_strides_are_fine(predictor, photo):
    image = photo()
    same(predictor(image[:, ::-1]), predictor(image[:, ::-1].copy()))


def test_label_map_covers_the_photo(predictor, photo):
    (output,) = predictor.predict_outputs([photo(50, 90)])
    assert output["part_map"].shape == (50, 90)
    assert int(output["part_map"].max()) <= len(predictor.class_names)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("nowhere.jpg", "nowhere.jpg: there is no such image"),
        (None, "image is a NoneType"),
        (Image.new("F", (4, 4), float("nan")), "floats run from"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"give a tensor \(3, H, W\)"),
        (torch.zeros(3, 4, 4), "has dtype float32"),
        (np.zeros((4, 4), np.uint8), "has shape"),
        (np.zeros((4, 4, 4), np.uint8), "has shape"),
        (np.zeros((0, 4, 3), np.uint8), "has shape"),
        (np.zeros((4, 4, 3), np.float32), "has dtype float32"),
    ],
)
def test_what_is_no_photo_is_refused(predictor, image, message):
    with pytest.raises(SAVError, match=message):
        predictor(image)


def test_gallery_of_the_run_is_used(run_folder, predictor, copied_run, photo):
    assert len(predictor.model.context.gallery) == 2
    shutil.rmtree(copied_run / "gallery")
    without = SAVPredictor.from_pretrained(copied_run, "cpu")
    assert len(without.model.context.gallery) == 0
    assert len(without(photo())) > 0


def test_another_gallery_can_be_looked_into(run_folder, copied_run, predictor, photo, tmp_path):
    small = Gallery(predictor.model.context.gallery.fingerprint)
    small.update(
        [Vehicle(Photo("b/1"))], predictor.model.context.gallery.exemplars.select(torch.tensor([0]))
    )
    save_gallery(small, tmp_path / "small")
    other = SAVPredictor.from_pretrained(run_folder, "cpu", gallery=tmp_path / "small")
    assert other.model.context.gallery.vehicles.photo_ids == ["b/1"]
    assert [found.vehicle.photo.id for found in other.nearest(photo(), 1)] == ["b/1"]
    with pytest.raises(SAVError, match="nowhere: no gallery there"):
        SAVPredictor.from_pretrained(run_folder, "cpu", gallery=tmp_path / "nowhere")
    cfg = load_config(run_folder / "config.yaml", ["MODEL.SAV.CONTEXT.ENABLED", "False"])
    (copied_run / "config.yaml").write_text(cfg.dump())
    with pytest.raises(SAVError, match="looks into no gallery"):
        SAVPredictor.from_pretrained(copied_run, "cpu", gallery=tmp_path / "small")


def test_the_nearest_vehicles_are_those_that_the_model_looks_at(predictor, photo, monkeypatch):
    image = photo(seed=5)
    keys = predictor.model.retrieval_keys([predictor._to_input(image)])
    known = predictor.model.context.gallery.exemplars
    known.keys = torch.cat([keys.mirrored, -keys.keys])
    gallery = Gallery(predictor.model.context.gallery.fingerprint)
    gallery.update([Vehicle(Photo("mirror/1")), Vehicle(Photo("other/1"))], known)
    monkeypatch.setattr(predictor.model.context, "gallery", gallery)
    found = predictor.nearest(image, 3)
    assert found[0] == (0, 0, Vehicle(Photo("mirror/1")), pytest.approx(1.0, abs=1e-5), True)
    used = []
    monkeypatch.setattr(gallery, "at", lambda *a: used.append(a) or Gallery.at(gallery, *a))
    predictor(image)
    rows, similarity, _ = used[0]
    assert rows[0, :3].tolist() == [neighbour.row for neighbour in found]
    assert similarity[0, :3].tolist() == pytest.approx([n.similarity for n in found], abs=1e-6)


def rewrite(path, change, **metadata):
    """Change the tensors of a weights file, or its metadata."""
    with safe_open(path, "pt") as file:
        metadata = {**file.metadata(), **metadata}
    state = change(load_file(path))
    path.unlink()
    save_file(state, path, metadata)


def test_a_device_that_is_not_there_is_one_clear_error(run_folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(SAVError, match="cuda:0: no GPU"):
        SAVPredictor.from_pretrained(run_folder, "cuda:0")


def test_a_run_of_another_version_is_one_clear_error(copied_run):
    rewrite(copied_run / "model_final.safetensors", dict, version="1")
    with pytest.raises(SAVError, match=r"another version of SAV; train the model anew"):
        SAVPredictor.from_pretrained(copied_run)
    config = copied_run / "config.yaml"
    config.write_text(config.read_text().replace("SHARE:", "PASSES: 1\n      SHARE:"))
    with pytest.raises(SAVError, match=r"CONTEXT\.PASSES.*train anew.* another version of SAV"):
        SAVPredictor.from_pretrained(copied_run)


def test_gallery_of_other_weights_is_refused(copied_run):
    path = copied_run / "model_final.safetensors"
    rewrite(path, lambda state: {key: value + 1 for key, value in state.items()})
    with pytest.raises(SAVError, match="gallery was built with weights"):
        SAVPredictor.from_pretrained(copied_run, "cpu")


def test_gallery_of_another_letterbox_is_refused(copied_run):
    path = copied_run / "gallery" / "gallery.json"
    contents = json.loads(path.read_text())
    contents["fingerprint"].pop("letterbox", None)
    path.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match=r"was built with letterbox None, but the model has .*again"):
        SAVPredictor.from_pretrained(copied_run, "cpu")


def test_checkpoint_of_a_run_gives_the_same(run_folder, predictor, copied_run, photo):
    state = load_file(run_folder / "model_final.safetensors")
    torch.save({"model": state, "iteration": 7}, copied_run / "model_0000007.pth")
    other = SAVPredictor.from_config(
        predictor.cfg, copied_run / "model_0000007.pth", run_folder / "gallery", "cpu"
    )
    same(other(photo()), predictor(photo()))


def test_a_model_without_context_has_no_nearest_vehicles(photo):
    cfg = tiny_config()
    cfg.MODEL.SAV.CONTEXT.ENABLED = False
    with pytest.raises(SAVError, match=r"CONTEXT\.ENABLED is False: this model looks in"):
        SAVPredictor(cfg, build_model(cfg)).nearest(photo(), 1)


def test_bad_run_folders_are_one_clear_error(copied_run, tmp_path):
    with pytest.raises(SAVError, match="no such run folder"):
        SAVPredictor.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(SAVError, match="no such config file"):
        SAVPredictor.from_pretrained(tmp_path)
    weights = copied_run / "model_final.safetensors"
    weights.write_bytes(b"not tensors")
    with pytest.raises(SAVError, match="not a weights file"):
        SAVPredictor.from_pretrained(copied_run)
    weights.unlink()
    with pytest.raises(SAVError, match="no such weights file"):
        SAVPredictor.from_pretrained(copied_run)
    (copied_run / "config.yaml").write_text("MODEL:\n  NO_SUCH_KEY: 1\n")
    with pytest.raises(SAVError, match="NO_SUCH_KEY"):
        SAVPredictor.from_pretrained(copied_run)
    (copied_run / "config.yaml").write_text("MODEL: [1\n")
    with pytest.raises(SAVError, match=r"config\.yaml"):
        SAVPredictor.from_pretrained(copied_run)


def test_weights_that_do_not_fit_are_named(copied_run):
    path = copied_run / "model_final.safetensors"
    rewrite(path, lambda state: {k: v for k, v in state.items() if "slot" not in k})
    with pytest.raises(SAVError, match=r"missing .*slot_embedding\.weight"):
        SAVPredictor.from_pretrained(copied_run, "cpu")


def test_predictor_is_found_in_the_package():
    assert sav.SAVPredictor is SAVPredictor
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = sav.nonsense


def test_given_boxes_only_these_vehicles_are_looked_at(predictor, photo):
    image = photo(120, 160)
    boxes = np.array([[90.0, 10.0, 150.0, 70.0], [-20.0, 40.5, 60.2, 500.0]])
    parts = predictor(image, boxes=boxes)
    assert parts.image_size == (120, 160)
    assert set(parts.vehicle_ids.tolist()) <= {0, 1}
    for number, (left, top, right, bottom) in enumerate([(81, 1, 159, 79), (0, 26, 74, 120)]):
        masks = parts.pred_masks[parts.vehicle_ids == number]
        inside = torch.zeros(120, 160, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert not (masks & ~inside).any()
    assert len(predictor(image, boxes=[])) == 0


def test_a_box_around_the_whole_photo_shows_what_the_photo_shows(predictor, photo):
    image = photo(96, 128)
    whole = predictor(image)
    again = predictor(image, boxes=[[0, 0, 128, 96]])
    assert len(again) > 0
    assert again.vehicle_ids.unique().tolist() == [0]
    vehicles = whole.vehicle_ids.unique()
    counts = [int((whole.vehicle_ids == number).sum()) for number in vehicles]
    same(whole[whole.vehicle_ids == vehicles[counts.index(len(again))]], again)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([1, 2, 3, 4], "shape"),
        ([[1, 2, 3]], "shape"),
        ([[float("nan"), 2, 3, 4]], "shape"),
        ([[0, 0, 9, 9], [5, 5, 5, 9]], "box 1"),
        ([[300, 0, 400, 50]], "box 0"),
        ([[0, 0, 9, 9], [1, 2, 3]], "no .* numbers"),
        ([["left", 2, 3, 4]], "no .* numbers"),
        ({"box": 1}, "no .* numbers"),
    ],
)
def test_boxes_that_are_none_are_refused(predictor, photo, boxes, message):
    with pytest.raises(SAVError, match=message):
        predictor(photo(), boxes=boxes)
