"""Clients of a server with the smallest model, in this process and in another."""

import io

import pytest
from PIL import Image
from starlette.testclient import TestClient

from sav.serve.app import create_app
from sav.serve.limits import Limits

from ..fixtures.run_folder import make_photo

LIMITS = Limits(max_bytes=200_000, max_pixels=20_000, places=8, seconds=60)


def as_png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def make_client(predictor):
    """Makes clients of applications with other limits, to be entered."""

    def make(limits=LIMITS, hosts=frozenset({"testserver"})):
        app = create_app(predictor, limits, hosts, "tiny")
        return TestClient(app, raise_server_exceptions=False)

    return make


@pytest.fixture(scope="module")
def client(make_client):
    with make_client() as client:
        yield client


@pytest.fixture
def image():
    """(48, 80, 3) uint8 RGB of noise."""
    return make_photo(48, 80, 1)


@pytest.fixture
def ask(client):
    """Asks for every part of a photo: an untrained model scores low."""

    def ask(photo, name="car.png", **options):
        files = {"photo": (name, photo)}
        return client.post("/predict", files=files, params={"score_threshold": 0, **options})

    return ask
