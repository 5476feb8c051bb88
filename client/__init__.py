"""Clients of the face recognition service: pictures in, typed answers out.

Of the REST gateway, with people to be recognised::

    from client import FaceService

    with FaceService("http://127.0.0.1:8300") as service:
        found = service.identify(Path("friends.jpg"), ["staff"])

Of the pipeline itself (``pipeline_http_client.py`` and ``pipeline_rpc_client.py`` are thin scripts
over it)::

    from client.pipeline.answer import Options
    from client.pipeline.http import HttpTransport
    from client.pictures import Picture

    with HttpTransport() as service:
        answer = service.predict(Picture.from_file("friends.jpg").base64(), Options())
    for face in answer.image.faces:
        print(face.box, face.score)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from client.rest.error_numbers import ErrorNumber
    from client.rest.face_service import FaceService
    from client.rest.face_service_async import AsyncFaceService
    from client.rest.records import FaceServiceError, NoAnswerError, Token, Url
    from client.rest.user_ids import user_id_of

__all__ = [
    "AsyncFaceService",
    "ErrorNumber",
    "FaceService",
    "FaceServiceError",
    "NoAnswerError",
    "Token",
    "Url",
    "user_id_of",
]

_HOMES = {
    "AsyncFaceService": "client.rest.face_service_async",
    "ErrorNumber": "client.rest.error_numbers",
    "FaceService": "client.rest.face_service",
    "FaceServiceError": "client.rest.records",
    "NoAnswerError": "client.rest.records",
    "Token": "client.rest.records",
    "Url": "client.rest.records",
    "user_id_of": "client.rest.user_ids",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: scripts that need none of it are to start quickly."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
