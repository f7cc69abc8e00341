"""The photo in a request: from the body, within limits, to pixels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from sav.errors import SAVError
from sav.formats.images import open_image, read_rgb
from sav.serve.limits import Limits, RequestError, in_words

FIELD = "photo"
"""Name of the file in a form."""
PHOTO_TYPES = ("jpeg", "png", "webp", "bmp", "tiff", "avif")
"""Subtypes of image/ that are taken."""

_PIL_FORMATS = {"JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF", "AVIF"}
_FORM = "multipart/form-data"
_RAW = {*(f"image/{kind}" for kind in PHOTO_TYPES), "application/octet-stream"}
_FORM_BYTES = 64 * 1024
"""What a form may take beside its photo."""
_MOST_FIELDS = 8
_LONGEST_NAME = 200


@dataclass(frozen=True)
class Upload:
    """A photo as it was sent.

    Attributes:
        name: of its file, without folders.
        data: the file.
    """

    name: str
    data: bytes


async def read_upload(request: Request, limits: Limits) -> Upload:
    """Read the photo of a request into memory.

    Args:
        request: a form with the photo in its field :data:`FIELD`, or a body that is the photo.
        limits: a body that is larger is not kept.

    Raises:
        RequestError: 400 there is no photo, 413 it is too large, 415 it is no image.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {_FORM, *_RAW}:
        raise RequestError(
            415,
            f"Content-Type is '{kind[:100]}'; send {_FORM} with a file '{FIELD}', or the photo as "
            f"the body with image/jpeg, {', '.join(PHOTO_TYPES[1:])} or application/octet-stream",
        )
    room = limits.max_bytes + (_FORM_BYTES if kind == _FORM else 0)
    body = await _read_body(request, room)
    if body is None:
        raise _too_large(limits)
    upload = await _read_form(request, body) if kind == _FORM else Upload("photo", body)
    if len(upload.data) > limits.max_bytes:
        raise _too_large(limits)
    if not upload.data:
        raise RequestError(400, "the photo is empty: the request has no bytes of it")
    return upload


async def _read_body(request: Request, room: int) -> bytes | None:
    """The body; None where it has more bytes than there is room.

    One that is larger is read to its end and dropped: clients look for the answer only when all is
    sent, unless they have asked before.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > room and "expect" in request.headers:
        return None
    body, size = bytearray(), 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > room:
                body.clear()
            else:
                body += chunk
    except ClientDisconnect as error:
        raise client_gone() from error
    return bytes(body) if size <= room else None


def client_gone() -> RequestError:
    """What nobody reads."""
    return RequestError(400, "the client has gone")


def _too_large(limits: Limits) -> RequestError:
    return RequestError(
        413, f"the photo has more than {in_words(limits.max_bytes)}; send a smaller one"
    )


class _InMemory(MultiPartParser):
    """The body is in memory, so its parts may be, too: no file is made of them."""

    spool_max_size = 0  # no bound


async def _read_form(request: Request, body: bytes) -> Upload:
    async def stream() -> AsyncIterator[bytes]:
        yield body

    try:
        parser = _InMemory(
            request.headers, stream(), max_files=_MOST_FIELDS, max_fields=_MOST_FIELDS
        )
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "") or f"no {error}"
        raise RequestError(400, f"the form cannot be read: {reason}") from error
    except ValueError as error:  # some of Python's encodings decode nothing
        raise RequestError(400, "the form cannot be read: its charset is no text's") from error
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            raise RequestError(400, f"the form has no file '{FIELD}'")
        if len(form.multi_items()) > 1:
            raise RequestError(
                400,
                f"the form has more than one file '{FIELD}'; options stand in the address, behind "
                "a '?'",
            )
        return Upload(_plain_name(file.filename or ""), await file.read())
    finally:
        await form.close()


def _plain_name(name: str) -> str:
    """The last part of a path of any system, of characters that can be shown."""
    last = PureWindowsPath(name).name  # knows both kinds of slashes
    return "".join(c for c in last if c.isprintable())[-_LONGEST_NAME:].strip(". ") or "photo"


def decode_photo(file: Path, limits: Limits) -> np.ndarray:
    """Read a photo whose kind and size are within the limits, by the rules of all commands.

    Args:
        file: of anything.
        limits: what is not within them is not decoded.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        RequestError: 413 it has too many pixels, 415 it is no photo, 422 it cannot be read.
    """
    try:
        with open_image(file) as image:
            kind, (width, height) = image.format, image.size
    except SAVError as error:
        status = 413 if "too large" in str(error) else 415
        raise RequestError(status, str(error)) from error
    if kind not in _PIL_FORMATS:
        raise RequestError(415, f"a {kind} file; send {', '.join(PHOTO_TYPES)}")
    if width * height > limits.max_pixels:
        most = f"{limits.max_pixels / 1e6:g} million pixels"
        raise RequestError(413, f"the photo has {width}x{height} pixels; {most} are allowed")
    try:
        return read_rgb(file)
    except SAVError as error:
        raise RequestError(422, str(error).removeprefix(f"{file}: ")) from error
