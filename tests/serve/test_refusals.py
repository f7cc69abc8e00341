"""What is refused: one status and one line, and the server goes on."""

import io
import struct
import tempfile
import zlib

import pytest
from PIL import Image

from sav.serve.limits import RequestError
from sav.serve.upload import decode_photo

from ..fixtures.broken_images import broken_avif
from .conftest import LIMITS, as_png


def refused(response, status, *words):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json().values()
    assert "\n" not in error
    for word in words:
        assert word in error


def save(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def huge_png(side):
    """The header of a PNG of side x side pixels that has almost no bytes."""

    def chunk(name, data):
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"\0" * 50) + chunk(b"IEND", b"")


def test_nothing_to_predict(client, ask):
    refused(client.post("/predict"), 415, "Content-Type is ''", "photo")
    refused(client.post("/predict", files={"photo": ("a.png", b"")}), 400, "empty")
    refused(client.post("/predict", files={"picture": ("a.png", b"x")}), 400, "no file 'photo'")
    headers = {"content-type": "image/png"}
    refused(client.post("/predict", headers=headers), 400, "empty")
    refused(client.post("/predict", data={"photo": "text"}), 415, "x-www-form-urlencoded")


def test_forms_that_are_broken_or_hold_more(client, image):
    form = {"content-type": "multipart/form-data; boundary=b"}
    refused(client.post("/predict", content=b"--b", headers=form), 400)
    refused(client.post("/predict", content=b"no form", headers=form), 400)
    nameless = {"content-type": "multipart/form-data"}
    refused(client.post("/predict", content=b"--b", headers=nameless), 400, "boundary")
    no_text = {"content-type": "multipart/form-data; boundary=b; charset=undefined"}
    body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nx\r\n--b--'
    refused(client.post("/predict", content=body, headers=no_text), 400, "charset")
    one, two = ("photo", ("a.png", as_png(image))), ("photo", ("b.png", as_png(image)))
    refused(client.post("/predict", files=[one, two]), 400, "more than one")
    refused(client.post("/predict", files=[one], data={"format": "coco"}), 400, "'?'")


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/json", "image/gif", "é"]
)
def test_other_content_types(client, image, kind):
    headers = {b"content-type": kind.encode()}
    refused(client.post("/predict", content=as_png(image), headers=headers), 415, "send")


def test_files_that_are_no_photo(ask, image):
    picture = Image.fromarray(image)
    postscript = save(picture, "EPS")
    for content in (postscript, b"text", b"\x89PNG", b"\xff\xd8\xff", b"%PDF-1.4", b"\0" * 1000):
        refused(ask(content), 415, "unknown format")
    # Other commands read these.
    refused(ask(save(picture, "GIF"), "car.png"), 415, "a GIF file")
    refused(ask(save(picture, "PPM"), "car.jpg"), 415, "a PPM file")


def test_photos_that_are_broken(ask, image):
    whole = as_png(image)
    refused(ask(whole[: len(whole) // 2]), 422, "cannot be read")
    refused(ask(broken_avif()), 422, "cannot be read")
    dark = Image.fromarray(image[..., 0].astype("uint16"))
    refused(ask(save(dark, "PNG")), 422, "would be black")


def test_too_many_bytes(client, ask, image):
    refused(ask(as_png(image) + b"\0" * 300_000), 413, "200000 bytes")
    headers = {"content-type": "image/png"}
    refused(client.post("/predict", content=b"\0" * 200_001, headers=headers), 413)

    def chunks():
        for _ in range(50):
            yield b"\0" * 10_000

    refused(client.post("/predict", content=chunks(), headers=headers), 413)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_too_many_pixels_are_not_decoded(ask, photo):
    refused(ask(as_png(photo(150, 150))), 413, "150x150")
    refused(ask(huge_png(10_000)), 413, "10000x10000")
    refused(ask(huge_png(30_000)), 413, "too large")


def test_decoding_takes_what_is_left(tmp_path, photo):
    (tmp_path / "in").write_bytes(as_png(photo(100, 150)))
    assert decode_photo(tmp_path / "in", LIMITS).shape == (100, 150, 3)
    (tmp_path / "in").write_bytes(as_png(photo(100, 201)))
    with pytest.raises(RequestError, match="100"):
        decode_photo(tmp_path / "in", LIMITS)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"format": "xml"}, "format"),
        ({"score_threshold": 2}, "score_threshold"),
        ({"score_threshold": "nan"}, "score_threshold"),
        ({"vocabulary": "bicycle"}, "vocabulary"),
        ({"vocabulary": "../x"}, "vocabulary"),
        ({"neighbours": -1}, "neighbours"),
        ({"neighbours": 1, "format": "coco"}, "neighbours"),
        ({"pictures": True}, "pictures"),
        ({"treshold": 0.5}, "treshold"),
    ],
)
def test_options_that_are_not_known(ask, image, options, word):
    refused(ask(as_png(image), **options), 422, word)


def test_other_paths_and_methods(client):
    refused(client.get("/predict"), 405)
    refused(client.get("/nothing"), 404)
    refused(client.get("/../../etc/passwd"), 404)
    refused(client.post("/"), 405)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\car.jpg", "car.jpg"),
        ("..", "photo"),
        ("a\u202eb.png", "ab.png"),
        ("x" * 500 + ".png", "x" * 196 + ".png"),
        ("Käfer 1.jpg", "Käfer 1.jpg"),
    ],
)
def test_names_lose_their_folders_and_what_cannot_be_shown(ask, image, name, kept):
    for form in ("json", "labelme", "coco"):
        assert ask(as_png(image), name, format=form).status_code == 200
    assert ask(as_png(image), name).json()["file"] == kept
    assert ask(as_png(image), name, format="labelme").json()["imagePath"] == kept
    (listed,) = ask(as_png(image), name, format="coco").json()["images"]
    assert listed["file_name"] == kept


def test_pages_of_other_sites_are_refused(client, ask, image):
    here = {"origin": "http://testserver"}
    assert client.get("/", headers=here).status_code == 200
    for origin in ("http://evil.example", "null", "http://testserver.evil.example", "http://["):
        response = client.post(
            "/predict", files={"photo": as_png(image)}, headers={"origin": origin}
        )
        refused(response, 403, "other sites")
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "", "[", "testserver@x"]
)
def test_names_that_are_not_this_server_are_refused(client, host):
    refused(client.get("/", headers={"host": host}), 400, "Host")


def test_the_port_of_a_host_does_not_matter(client):
    assert client.get("/health", headers={"host": "TestServer:8000"}).status_code == 200


def test_every_answer_has_the_security_headers(client, ask, image):
    responses = [client.get("/"), client.get("/nothing"), ask(b"text"), ask(as_png(image))]
    responses.append(client.get("/", headers={"host": "evil.example"}))
    for response in responses:
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "access-control-allow-origin" not in response.headers
        assert response.headers["cache-control"] == "no-store"


def test_no_file_outlives_its_request(ask, image, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ask(as_png(image)).status_code == 200
    assert ask(as_png(image)[:500]).status_code == 422
    assert ask(b"text").status_code == 415
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_said_and_the_server_goes_on(
    ask, image, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        refused(ask(as_png(image)), 503, "disk")
    assert ask(as_png(image)).status_code == 200
