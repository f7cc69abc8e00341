import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image

from sav.cli import dispatch
from sav.config import load_config
from sav.d2 import Boxes, Instances
from sav.errors import SAVError
from sav.export.exporter import FILES, describe
from sav.export.graphs import ContextRetrieval, EncoderDecoder, GalleryLookup
from sav.export.quantize import quantize_encoder
from sav.export.runtime import Part, PartFinder, read_photo
from sav.gallery.store import Gallery
from sav.modeling.crops import VehicleCrops, nothing_found
from sav.predict.predictor import SAVPredictor

from .parity import assert_alike, view_of

pytestmark = pytest.mark.timeout(1200)  # torch traces the model for a minute


def test_any_number_of_photos_and_vehicles(taught, exported):
    """The graphs take batches; what a photo gets does not depend on the others."""
    network, context = EncoderDecoder(taught.model), ContextRetrieval(taught.model)
    sessions = [onnxruntime.InferenceSession(exported / name) for name in FILES[:2]]
    size, queries = taught.model.preprocess.size, len(taught.model.queries.classes)
    for photo in ([0], [0, 0, 0], [0, 1], [0, 1, 1, 2, 2]):
        canvas = torch.randn(photo[-1] + 1, 3, size, size)
        own = torch.rand(len(photo), queries) > 0.5
        with torch.no_grad():
            seen = network(canvas)
            corrected = context(*seen[:3], torch.tensor(photo), own, *seen[3:])
        found = sessions[0].run(None, {"canvas": canvas.numpy()})
        assert_close(found, seen)
        names = [one.name for one in sessions[1].get_inputs()]
        inputs = (*seen[:3], torch.tensor(photo), own, *seen[3:])
        feed = dict(zip(names, (x.numpy() for x in inputs), strict=True))
        assert_close(sessions[1].run(None, feed), corrected)
        assert (corrected[0] - seen[0]).abs().max() > 0.01  # the gallery matters


def assert_close(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other.numpy(), atol=1e-3)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_the_look_up_is_the_gallerys(taught, count):
    gallery = taught.model.context.gallery
    image = np.random.default_rng(0).integers(0, 256, (50, 80, 3), dtype=np.uint8)
    keys = taught.model.retrieval_keys([taught._to_input(image)])
    expected = gallery.neighbours(keys, count, [None] * len(keys.keys))
    found = GalleryLookup(gallery, count)(keys)
    kept = found.exists.shape[1]
    for name, value in vars(found).items():
        assert torch.allclose(value.float(), getattr(expected, name)[:, :kept].float()), name
    assert not expected.exists[:, kept:].any()


@pytest.mark.parametrize("size", [(48, 80), (90, 60), (200, 311), (64, 64)])
def test_the_runtime_finds_what_the_predictor_finds(taught, exported, photo, size):
    image = photo(*size, seed=sum(size))
    parts = taught(image)
    assert len(parts) > 3
    assert_alike(PartFinder(exported)(image), parts)


def test_small_vehicles_are_predicted_again(taught, exported, photo, tmp_path):
    """Where a part of a small vehicle is seen, its crop shows all others."""
    folder, image = shutil.copytree(exported, tmp_path / "closer"), photo(200, 300, 3)
    about = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps(about | {"crops": 0.6}))
    left, top, right, bottom = box = (40, 30, 150, 120)
    parts = Instances((200, 300))
    parts.pred_masks = torch.zeros(1, 200, 300, dtype=torch.bool)
    parts.pred_masks[0, top:bottom, left:right] = True
    parts.pred_boxes = Boxes(torch.tensor([box]).float())
    parts.scores, parts.pred_classes = torch.tensor([0.9]), torch.tensor([0])
    parts.vehicle_ids = torch.tensor([0])
    output = nothing_found((200, 300)) | {"instances": parts}
    with torch.no_grad():
        VehicleCrops(0.6)(taught.model, [taught._to_input(image)], [output])
    seen = Part("any", 0, 0.9, 0, box, np.ones((90, 110), bool))
    assert len(output["instances"]) > 3
    assert_alike(PartFinder(folder)._predict_crops(image, [seen], []), output["instances"])


def test_components_are_predicted_one_by_one(taught, exported, photo, tmp_path):
    """Where one mask shows a part of two vehicles, each is cut out."""
    folder, image = shutil.copytree(exported, tmp_path / "components"), photo(200, 300, 3)
    about = json.loads((folder / "model.json").read_text("utf-8"))
    (folder / "model.json").write_text(json.dumps(about | {"crops": 0.6}))
    components = [(10, 10, 200, 180), (220, 40, 290, 110)]
    output = nothing_found((200, 300))
    parts = Instances((200, 300))
    parts.pred_masks = torch.ones(1, 200, 300, dtype=torch.bool)
    parts.pred_boxes = Boxes(torch.tensor([[0.0, 0, 300, 200]]))
    parts.scores, parts.pred_classes = torch.tensor([0.3]), torch.tensor([0])
    parts.vehicle_ids = torch.tensor([0])
    output |= {"instances": parts, "components": torch.tensor(components)}
    with torch.no_grad():
        VehicleCrops(0.6)(taught.model, [taught._to_input(image)], [output])
    seen = Part("any", 0, 0.3, 0, (0, 0, 300, 200), np.ones((200, 300), bool))
    found = PartFinder(folder)._predict_crops(image, [seen], [np.array(b) for b in components])
    assert set(output["instances"].vehicle_ids.tolist()) == {0, 1}
    assert_alike(found, output["instances"])


def test_it_runs_without_torch_and_without_sav(taught, exported, photo, tmp_path):
    Image.fromarray(photo(80, 60)).save(tmp_path / "photo.png")
    blocked = ("torch", "torchvision", "sav", "cv2", "scipy", "timm", "onnx")
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked}));"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    script, image = str(exported / "runtime.py"), str(tmp_path / "photo.png")
    command = [sys.executable, "-c", code, script, image]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    found = PartFinder(exported)(read_photo(image))
    assert [part["name"] for part in said["parts"]] == [part.name for part in found]
    assert [part["mask"] for part in said["parts"]] == [int(part.mask.sum()) for part in found]


def test_what_it_cannot_read_is_one_line(exported, tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    alone = shutil.copy(exported / "runtime.py", tmp_path)
    cases = [
        (exported / "runtime.py", "nowhere.png", "nowhere.png"),
        (exported / "runtime.py", "bomb.png", "decompression bomb"),
        (alone, "nowhere.png", "model.json"),
    ]
    for script, name, reason in cases:
        command = [sys.executable, str(script), str(tmp_path / name)]
        failed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert failed.returncode == 1
        assert len(failed.stderr.splitlines()) == 1
        assert reason in failed.stderr


def test_threads_may_share_a_finder(exported, photo):
    finder, images = PartFinder(exported, threads=1), [photo(48, 80, seed) for seed in range(4)]
    expected = [[part[:5] for part in finder(image)] for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = [[part[:5] for part in parts] for parts in pool.map(finder, 3 * images)]
    assert found == 3 * expected


def test_what_is_no_photo_or_no_such_folder_is_refused(exported, tmp_path):
    finder = PartFinder(exported)
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="a photo is an array"):
            finder(image)
    (tmp_path / "model.json").write_text('{"format": 0}')
    with pytest.raises(ValueError, match="another version of SAV; export"):
        PartFinder(tmp_path)


def test_nothing_of_the_machine_is_in_the_files(exported):
    for file in exported.iterdir():
        content = file.read_bytes()
        for name in (b"site-packages", b"/home/", str(exported.parent).encode(), b"stack_trace"):
            assert name not in content, (file.name, name)


def test_the_description_names_classes_and_queries(taught, exported):
    about = json.loads((exported / "model.json").read_text("utf-8"))
    model = taught.model
    assert about == json.loads(json.dumps(describe(model, view_of(model, ""))))
    assert about["classes"] == taught.class_names
    assert about["query_parts"] == model.queries.classes.tolist()
    assert (about["canvas"], about["gallery_vehicles"]) == (64, 2)


def test_the_command_writes_a_folder(run_folder, photo, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["export", "--model", str(run_folder), "--out", str(out), "--gallery", "none"]
    dispatch(words)
    assert "encoder_decoder.onnx (" in capsys.readouterr().out
    assert {file.name for file in out.iterdir()} == {*FILES} - {"context_retrieval.onnx"}
    without = SAVPredictor.from_pretrained(run_folder, "cpu")
    without.model.context.gallery = Gallery({})
    assert_alike(PartFinder(out)(photo(70, 90)), without(photo(70, 90)))
    with pytest.raises(SAVError, match="exists already"):
        dispatch(words)


def test_what_cannot_be_read_leaves_the_earlier_export(run_folder, exported, tmp_path):
    out = shutil.copytree(exported, tmp_path / "out")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    (tmp_path / "broken.jpg").write_text("no photo")
    words = ["export", "--model", run_folder, "--out", out, "--gallery", "none", "--overwrite"]
    with pytest.raises(SAVError, match=r"broken\.jpg"):
        dispatch([*map(str, words), "--int8", str(tmp_path / "broken.jpg")])
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("TEST.AUG.ENABLED", r"TEST\.AUG: .*averages no mirror images"),
        ("MODEL.SAV.TEST.TILES", r"TILES: the exported model has no tiles"),
    ],
)
def test_what_it_cannot_do_is_refused(run_folder, tmp_path, key, message):
    changed = shutil.copytree(run_folder, tmp_path / "run")
    cfg = load_config(changed / "config.yaml", [key, "True"])
    (changed / "config.yaml").write_text(cfg.dump())
    with pytest.raises(SAVError, match=message):
        dispatch(["export", "--model", str(changed), "--out", str(tmp_path / "out")])


def test_without_onnx_it_says_what_to_install(run_folder, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("sav.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SAVError, match=r"pip install 'segment-any-vehicle\[export\]'"):
        dispatch(["export", "--model", str(run_folder), "--out", str(tmp_path)])


def test_the_encoder_computes_in_8_bits(taught, exported, photo, tmp_path):
    folder = shutil.copytree(exported, tmp_path / "int8")
    photos = [photo(64, 64, seed) for seed in range(4)]
    quantize_encoder(folder / "encoder_decoder.onnx", iter(photos), taught.model.preprocess)
    canvas = taught.model.preprocess([torch.from_numpy(photos[0]).permute(2, 0, 1)]).numpy()
    exact, small = (
        onnxruntime.InferenceSession(place / "encoder_decoder.onnx").run(
            ["map_embedding"], {"canvas": canvas}
        )
        for place in (exported, folder)
    )
    error = np.abs(small[0] - exact[0]).mean() / np.abs(exact[0]).mean()
    assert 0 < error < 0.2
