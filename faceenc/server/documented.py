"""What /openapi.json says beside the code: bodies, answers, examples; and the words for the strengths."""

from __future__ import annotations

from typing import Any

from faceenc.server.problems import MEDIA_TYPE

# The figures are of reports/frontier, by recognisers that were left out of the attack.
STRENGTH_TEXTS: dict[str, dict[str, str]] = {
    "subtle": {
        "cost": "Half the work of balanced. Friends see a slightly other face.",
        "protects": "Hides from the recognisers that were attacked; others often still match.",
    },
    "balanced": {
        "cost": "About twenty seconds a face on two cores. Friends know the face and may find the photo odd.",
        "protects": "Hides from the recognisers that were attacked, and from others in about six to nine of ten photos.",
    },
    "strong": {
        "cost": "A third more work than balanced, and plainly seen.",
        "protects": "Hides from the recognisers that were attacked, and from others in about nine of ten photos.",
    },
}

_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_TYPES = ("image/jpeg", "image/png", "image/webp", "image/tiff", "image/heic", "application/octet-stream")
_OPTIONS: dict[str, Any] = {
    "strength": {"type": "string", "enum": ["subtle", "balanced", "strong"], "default": "balanced"},
    "faces": {"type": "string", "pattern": "^(all|largest|[1-9][0-9]{0,2})$", "default": "all"},
    "format": {"type": "string", "enum": ["png", "jpeg", "webp", "tiff", "heif", "same"], "default": "png"},
    "quality": {"type": "integer", "minimum": 1, "maximum": 100},
    "decoy": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
    "steps": {"type": "integer", "minimum": 1, "maximum": 80},
}
_FILE = {"type": "string", "format": "binary"}


def _json(description: str, example: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": {"application/json": {"example": example}}}}


def _form(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


_PROBLEM = {
    "type": "/problems/no-face",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "no face found in the photo: nothing is written",
    "field": "photo",
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"example": _PROBLEM}}}
    for status, text in {
        400: "The request cannot be read.",
        401: "A token is needed.",
        403: "Another page's request, or looking like somebody without a consent that holds.",
        404: "No such job, any more.",
        408: "The body came too slowly.",
        409: "Not done yet.",
        413: "Too large.",
        415: "Not the kind of body that is expected.",
        421: "The Host header names another server.",
        422: "No photo, no face in it, or an option that is none.",
        429: "Too many photos wait; Retry-After says how long to wait.",
        503: "The server is ending, or a worker failed twice.",
    }.items()
}
_EVIDENCE = {
    "matched": 0,
    "faces": [
        {
            "box": [120.0, 80.0, 260.0, 240.0],
            "judges": [{"judge": "dlib", "variant": "saved", "distance": 0.93, "threshold": 0.6, "match": False}],
        }
    ],
    "summary": "No judge matches the face as saved.",
}
PRESETS = _json("Strengths and limits.", {"default": "balanced", "formats": ["png", "jpeg"], "token": False})
JUDGES = _json("Judges.", {"judges": [{"name": "dlib", "attacked": True, "licence": "CC0"}]})
EVIDENCE = _json("What judges say.", {key: value for key, value in _EVIDENCE.items() if key == "faces"})
RAW_PHOTO = {"requestBody": {"required": True, "content": dict.fromkeys(_TYPES, _IMAGE)}}
PHOTO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The protected photo; with `Accept: application/json` with its evidence.",
        "content": {
            "image/png": _IMAGE,
            "application/json": {"example": {"photo": "iVBORw0KGgo...", "type": "image/png", "evidence": _EVIDENCE}},
        },
    }
}
TWO_PHOTOS = _form({"original": _FILE, "protected": _FILE}, ["original", "protected"])
FORM = _form(
    {
        "photo": {"type": "array", "items": _FILE, "minItems": 1, "maxItems": 20},
        **_OPTIONS,
        "to": {"type": "string", "description": "Look like this person, who has signed:"},
        "consent": _FILE,
    },
    ["photo"],
)
_JOB = {"id": "pVx3...", "status": "queued", "photos": [{"number": 0, "name": "a.jpg"}], "events": "/v1/jobs/pVx3.../events"}
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Handed in.", "content": {"application/json": {"example": _JOB}}}
}
JOB = _json("How far it is.", {**_JOB, "status": "done", "expires": 590})
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events until the job is done.",
        "content": {"text/event-stream": {"example": 'id: 1\nevent: queued\ndata: {"ahead":0}\n\n'}},
    }
}
RESULT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The photo, or a ZIP of many.", "content": {"image/png": _IMAGE, "application/zip": _IMAGE}}
}
