"""What ``/openapi.json`` says of prediction beyond its options."""

from __future__ import annotations

from typing import Any

from sav.serve.answers import WRITERS
from sav.serve.upload import FIELD, PHOTO_TYPES

_FILE = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "properties": {FIELD: _FILE}, "required": [FIELD]}
_ERROR = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {"error": {"type": "string"}},
            "required": ["error"],
        }
    }
}
_ERRORS = {
    400: "no photo in the request, or a broken form",
    403: "asked by a page of another site",
    408: "the photo did not come in time",
    413: "too many bytes or pixels",
    415: "not a photo of a type that is taken",
    422: "a broken photo, or an option that is not known",
    503: "too many requests wait, or the time is over; see Retry-After",
}

PREDICT: dict[str, Any] = {
    "responses": {
        200: {
            "description": "in the format asked for",
            "content": {media_type: {} for _, media_type in WRITERS.values()},
        },
        **{status: {"description": d, "content": _ERROR} for status, d in _ERRORS.items()},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": _FORM},
                **{f"image/{kind}": {"schema": _FILE} for kind in PHOTO_TYPES},
            },
        }
    },
}
"""Keywords of the route."""
