"""What is answered: the same as ``sav predict`` and ``sav convert`` write."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from PIL import Image

from sav.formats.coco import COCO
from sav.formats.images import read_rgb
from sav.formats.labelme import LABELME
from sav.predict.writers import Prediction, describe_parts, write_mask, write_overlay
from sav.serve.answers import WRITERS, Format
from sav.serve.app import Options

from ..documented import fenced_commands
from .conftest import as_png


def pixels(content):
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


def test_json_has_the_parts_that_the_predictor_finds(ask, image, predictor):
    response = ask(as_png(image))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "file": "car.png",
        "width": 80,
        "height": 48,
        "ontology": predictor.ontology.name,
        "parts": describe_parts(predictor(image), predictor.ontology),
    }


def test_a_body_that_is_the_photo_is_answered_like_a_form(ask, client, image):
    whole = ask(as_png(image)).json()
    for kind in ("image/png", "application/octet-stream"):
        response = client.post(
            "/predict?score_threshold=0", content=as_png(image), headers={"content-type": kind}
        )
        assert response.json() == {**whole, "file": "photo"}


def test_pictures_are_those_of_predict(ask, image, predictor, tmp_path):
    (output,) = predictor.predict_outputs([image])
    prediction = Prediction(
        tmp_path / "car.png",
        image,
        output["instances"],
        output["part_map"].numpy(),
        predictor.ontology,
    )
    for name, write in {"mask": write_mask, "overlay": write_overlay}.items():
        write(tmp_path / f"{name}.png", prediction)
        response = ask(as_png(image), format=name)
        assert response.headers["content-type"] == "image/png"
        assert response.content == (tmp_path / f"{name}.png").read_bytes()


@pytest.mark.parametrize("form", [COCO, LABELME], ids=lambda form: form.name)
def test_annotations_are_read_beside_the_photo(ask, image, predictor, tmp_path, form):
    (tmp_path / "car.png").write_bytes(as_png(image))
    (tmp_path / "car.json").write_bytes(ask(as_png(image), format=form.name).content)
    (entry,) = form.find(tmp_path / "car.json", None)
    assert entry.image == tmp_path / "car.png"
    shapes = list(form.read(entry, 48, 80))
    found = predictor(image)
    names = {predictor.class_names[class_id] for class_id in found.pred_classes.tolist()}
    assert {shape.label for shape in shapes} == names
    assert not any(shape.error for shape in shapes)
    if form is COCO:
        assert [shape.score for shape in shapes] == [round(s, 4) for s in found.scores.tolist()]
        assert [shape.vehicle for shape in shapes] == found.vehicle_ids.tolist()


def test_no_answer_says_where_the_server_keeps_its_files(ask, image):
    for name in WRITERS:
        content = ask(as_png(image), format=name).content
        assert b"sav-serve" not in content
        assert b"../" not in content


def test_every_format_of_the_options_has_a_writer():
    assert set(Format.__args__) == WRITERS.keys()


def test_less_is_answered_above_a_score(ask, image):
    every = ask(as_png(image)).json()["parts"]
    middle = every[len(every) // 2]["score"]
    some = ask(as_png(image), score_threshold=middle).json()["parts"]
    assert some == [part for part in every if part["score"] >= middle]
    assert 0 < len(some) < len(every)


def test_neighbours_are_those_of_the_gallery(ask, image, predictor):
    found = predictor.nearest(image, 2)
    named = ask(as_png(image), neighbours=2).json()["neighbours"]
    assert [one["id"] for one in named] == [one.vehicle.photo.id for one in found]
    assert [one["similarity"] for one in named] == [round(one.similarity, 4) for one in found]
    assert "neighbours" not in ask(as_png(image)).json()


def test_neighbours_are_drawn_when_that_is_asked(ask, image):
    named = ask(as_png(image), neighbours=1, pictures=True).json()["neighbours"]
    assert all(one["layout"].startswith("data:image/png;base64,") for one in named)
    assert [one["photo"] for one in named] == [None] * len(named)  # they are not on this machine


def test_the_orientation_of_a_photo_is_applied(ask, image, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif)
    answer = ask((tmp_path / "turned.jpg").read_bytes()).json()
    assert (answer["height"], answer["width"]) == read_rgb(tmp_path / "turned.jpg").shape[:2]
    assert (answer["height"], answer["width"]) == (80, 48)


def test_answers_of_many_clients_are_not_mixed_up(ask, photo, predictor):
    images = [photo(40 + 3 * seed, 60 + seed, seed) for seed in range(6)]
    truth = [describe_parts(predictor(image), predictor.ontology) for image in images]
    asked = [number % 6 for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda i: ask(as_png(images[i]), f"{i}.png").json(), asked))
    assert [answer["file"] for answer in answers] == [f"{i}.png" for i in asked]
    assert [answer["parts"] for answer in answers] == [truth[i] for i in asked]


def test_the_page_is_told_of_vocabularies_and_limits(client, predictor):
    about = client.get("/model").json()
    assert about["vocabulary"] == predictor.ontology.name
    (vocabulary,) = (one for one in about["vocabularies"] if one["name"] == about["vocabulary"])
    assert [one["name"] for one in vocabulary["classes"]] == predictor.class_names
    assert ["Plate", "part_of", "Foreground"] in vocabulary["relations"]
    assert about["limits"]["bytes"] == 200_000
    assert about["gallery"] == {"vehicles": 2, "neighbours": 8}


def test_openapi_names_every_door_and_no_page_loads_scripts_from_elsewhere(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/health", "/model", "/predict"}
    body = paths["/predict"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "image/jpeg", "image/png"} <= body.keys()
    options = {one["name"] for one in paths["/predict"]["post"]["parameters"]}
    assert {"format", "vocabulary", "score_threshold", "neighbours"} <= options
    assert client.get("/docs").status_code == 404
    assert client.get("/redoc").status_code == 404
    for path in ("/", "/page.js", "/page.css", "/masks.js", "/lists.js"):
        text = client.get(path).text
        assert "://" not in text.replace("http://www.w3.org", ""), path


def test_the_requests_in_the_docs_have_these_options():
    commands = [command.words for command in fenced_commands() if command.words[0] == "curl"]
    assert len(commands) >= 3
    for words in commands:
        url = urlsplit(next(word for word in words if word.startswith("http")))
        assert url.path == "/predict"
        Options.model_validate(dict(parse_qsl(url.query, strict_parsing=bool(url.query))))
        assert any(word.startswith(("photo=@", "@")) for word in words)


def test_health_counts_the_requests_that_are_here(client):
    assert client.get("/health").json()["requests"] == 0


def test_json_is_strict(ask, image):
    json.loads(ask(as_png(image)).content, parse_constant=pytest.fail)
