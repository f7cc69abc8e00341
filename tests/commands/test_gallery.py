"""``sav gallery``: build, inspect, query."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from sav.cli import dispatch
from sav.config import load_config
from sav.errors import SAVError
from sav.formats.images import read_rgb
from sav.gallery.files import load_gallery
from sav.ontology import load_ontology
from sav.predict.predictor import SAVPredictor

from ..engine.toy import draw

pytestmark = pytest.mark.usefixtures("catalogs_as_before")


@pytest.fixture
def run(run_folder, tmp_path):
    """A finished training without a gallery."""
    copy = tmp_path / "run"
    shutil.copytree(run_folder, copy)
    shutil.rmtree(copy / "gallery")
    return copy


@pytest.fixture
def vans(tmp_path):
    draw(tmp_path / "vans", "train", 5)
    return tmp_path / "vans" / "train.json"


@pytest.fixture
def pickups(tmp_path):
    draw(tmp_path / "pickups", "train", 2)
    return tmp_path / "pickups" / "train.json"


def gallery(*words):
    dispatch(["gallery", *map(str, words)])


def build(run, json_file, *words):
    gallery("build", "--model", run, "--json", json_file, *words, "--device", "cpu")


def test_built_once_the_run_uses_it_and_more_can_be_added(run, vans, pickups, capsys):
    build(run, vans)
    assert "5 vehicles encoded, 5 in" in capsys.readouterr().out
    build(run, pickups, "--add")
    assert "2 vehicles encoded, 7 in" in capsys.readouterr().out
    model = SAVPredictor.from_pretrained(run, "cpu").model
    assert model.context.gallery.vehicles.photo_ids == [f"vans/train/{i}" for i in range(1, 6)] + [
        "pickups/train/1",
        "pickups/train/2",
    ]
    assert all(v.photo.hash is not None and v.photo.file for v in model.context.gallery.vehicles)


def test_adding_a_data_set_again_renews_what_it_gave(run, vans, pickups):
    build(run, vans)
    build(run, pickups, "--add")
    contents = json.loads(vans.read_text())
    contents["images"] = contents["images"][:3]
    vans.write_text(json.dumps(contents))
    build(run, vans, "--add")
    kept = load_gallery(run / "gallery")
    assert len(kept) == 5
    assert {name: s["vehicles"] for name, s in kept.sources.items()} == {
        "pickups/train": 2,
        "vans/train": 3,
    }


def test_an_existing_gallery_is_not_lost_by_mistake(run, vans, pickups):
    build(run, vans)
    with pytest.raises(SAVError, match="a gallery is there"):
        build(run, pickups)
    build(run, pickups, "--overwrite")
    assert len(load_gallery(run / "gallery")) == 2
    with pytest.raises(SAVError, match="no gallery to add to"):
        build(run, pickups, "--add", "--output", run / "elsewhere")


def test_another_data_set_of_the_same_name_is_refused(run, vans, pickups):
    build(run, vans, "--name", "mine")
    path = run / "gallery" / "gallery.json"
    contents = json.loads(path.read_text())
    contents["sources"]["mine"]["file"] = str(pickups)
    path.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="another data set of the name 'mine'"):
        build(run, vans, "--name", "mine", "--add")


def test_photos_may_lie_elsewhere(run, vans, tmp_path):
    (tmp_path / "vans" / "images").rename(tmp_path / "moved")
    build(run, vans, "--images", tmp_path / "moved", "--name", "moved vans")
    assert load_gallery(run / "gallery").vehicles[0].photo.file == str(
        tmp_path / "moved" / "train1.png"
    )


def test_a_gallery_of_other_weights_is_not_added_to(run, vans):
    build(run, vans)
    path = run / "gallery" / "gallery.json"
    contents = json.loads(path.read_text())
    contents["fingerprint"]["weights"] = "other"
    path.write_text(json.dumps(contents))
    with pytest.raises(SAVError, match="built with weights 'other'"):
        build(run, vans, "--add")


def test_a_config_that_looks_into_no_gallery_is_refused(run, vans):
    with pytest.raises(SAVError, match="looks into no gallery"):
        build(run, vans, "MODEL.SAV.CONTEXT.ENABLED", "False")


def test_inspect_names_sources_and_whether_they_have_changed(run, vans, capsys):
    build(run, vans)
    capsys.readouterr()
    gallery("inspect", run / "gallery")
    said = capsys.readouterr().out
    assert said.startswith("5 vehicles\n")
    assert "search: exact" in said
    row = next(line for line in said.splitlines() if line.startswith("vans/train"))
    assert row.split()[1:] == ["5", str(vans), "unchanged"]
    vans.write_text(vans.read_text() + " ")
    gallery("inspect", run)
    assert "changed" in capsys.readouterr().out.split(str(vans))[1].split()[0]


def test_gallery_inspect_counts_vehicles_and_parts(run_folder, capsys):
    dispatch(["gallery", "inspect", str(run_folder)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 vehicles"
    assert "ontology: vehicleseg10k" in lines
    counts = {line[:20].strip(): line.split()[-1] for line in lines if line.strip()}
    assert (counts["Foreground"], counts["Wheel"], counts["Plate"]) == ("2", "2", "0")


def test_query_draws_the_photo_and_its_neighbours(run, vans, tmp_path, capsys):
    build(run, vans)
    photo, sheet = tmp_path / "vans" / "images" / "train2.png", tmp_path / "sheet.png"
    words = ("query", photo, "--model", run, "--output", sheet, "--device", "cpu")
    capsys.readouterr()
    gallery(*words, "--neighbours", 3)
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["of", "vehicle", "similarity", "mirrored", "key", "vehicle", "photo"]
    rows = [line.split() for line in said[2:-1]]
    assert len(rows) == 3 * len({row[0] for row in rows})
    assert ["1.000", "vans/train/2", "0", str(photo)] in [row[1:] for row in rows]
    picture = np.asarray(Image.open(sheet))
    panels = 2 if len(rows) == 3 else 3
    assert picture.shape == (panels * (56 + 360 + 8) - 8, 3 * 488 - 8, 3)
    assert len(np.unique(picture[56:416, 488:968].reshape(-1, 3), axis=0)) > 10
    with pytest.raises(SAVError, match=r"sheet\.png: exists already; .*--overwrite"):
        gallery(*words, "--no-copies")
    gallery(*words, "--no-copies", "--overwrite")
    assert "vans/train/2" not in capsys.readouterr().out


def test_query_goes_on_without_the_neighbours_files(run, vans, tmp_path, capsys):
    build(run, vans)
    image = read_rgb(tmp_path / "vans" / "images" / "train2.png")
    cv2.imwrite(str(tmp_path / "photo.png"), image)
    shutil.rmtree(tmp_path / "vans")
    words = ("--model", run, "--output", tmp_path / "sheet.png", "--device", "cpu")
    capsys.readouterr()
    gallery("query", tmp_path / "photo.png", *words, "--neighbours", 3)
    said = capsys.readouterr().out.splitlines()
    count = len(said[2:-2])
    assert f"photo not here: {count} of {count} neighbours, drawn as stored layouts" == said[-2]
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    colors = [*map(list, load_ontology("vehicleseg10k").colors)]
    for row, column in ((0, 1), (0, 2), (1, 0)):  # each tile shows the body, and some other part
        tile = picture[80 + 448 * row :, 488 * column :][:360, :480].reshape(-1, 3)
        shown = [color for color in colors if (tile == color).all(axis=-1).sum() > 100]
        assert len(shown) > 1


def test_query_without_a_gallery_or_neighbours_is_an_error(run, photos):
    with pytest.raises(SAVError, match="no gallery there"):
        gallery("query", photos / "one.png", "--model", run)
    with pytest.raises(SAVError, match="ask for one at least"):
        gallery("query", photos / "one.png", "--model", run, "--neighbours", 0)


def test_query_of_a_model_that_looks_at_no_neighbour_is_an_error(run, vans, photos):
    build(run, vans)
    config = run / "config.yaml"

    def ask_with(key, value):
        cfg = load_config(config, [f"MODEL.SAV.CONTEXT.{key}", value])
        config.write_text(cfg.dump())
        gallery("query", photos / "one.png", "--model", run)

    with pytest.raises(SAVError, match="say with --neighbours how many"):
        ask_with("NEIGHBOURS", "0")
    weights = run / "model_final.safetensors"
    kept = {n: v for n, v in load_file(weights).items() if not n.startswith("context.")}
    save_file(kept, weights)
    with pytest.raises(SAVError, match="looks into no gallery"):
        ask_with("ENABLED", "False")
