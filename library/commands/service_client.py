"""The running service, asked for faces; what passes is waited for."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass

from client.errors import ClientError, ConnectionLostError, ServiceTimeoutError, UnreachableError
from client.pipeline.answer import Answer, FaceAnswer, Options
from client.pipeline.transport import Transport
from library.commands.session import CommandError
from ops.errors import PICTURE_CODES, ErrorKind

# The service's codes for "not now".
_NOT_NOW = {
    str(kind.code)
    for kind in (
        ErrorKind.INTERNAL, ErrorKind.SHUTTING_DOWN, ErrorKind.BUSY, ErrorKind.TIMEOUT
    )
}  # fmt: skip
# Its codes for pictures that cannot be used, and for a request that is too large with one.
_OF_PICTURES = {str(code) for code in (*PICTURE_CODES, ErrorKind.REQUEST_TOO_LARGE.code)}
# Pauses before it is asked again, in seconds: a service that is started anew is there by then.
_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
_STAGE = "ArcFace"


@dataclass(frozen=True)
class Seen:
    """The faces of a picture, largest first. recogniser: the name of what made the embeddings."""

    faces: tuple[FaceAnswer, ...]
    recogniser: str


class PictureError(Exception):
    """The service will not have this picture; code: the service's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Asker:
    """Sends pictures; safe to use from several threads."""

    def __init__(self, transport: Transport, options: Options) -> None:
        self._transport = transport
        self._options = options
        self._met = False

    def faces(self, picture: bytes) -> Seen:
        """The faces of an encoded picture.

        Raises PictureError, and CommandError where the service is not there, does not answer or
        has no recogniser.
        """
        answer = self._answer(base64.b64encode(picture).decode("ascii"))
        image = answer.image
        if image.error is not None:
            raise PictureError(image.error.code, image.error.message)
        recogniser = answer.models.get(_STAGE, "")
        if not recogniser:
            raise CommandError("the service has no recogniser: op.ArcFace is missing in config.yml")
        return Seen(image.faces, recogniser)

    def _answer(self, picture: str) -> Answer:
        for pause in (*_PAUSES, None):
            try:
                answer = self._transport.predict(picture, self._options)
                self._met = True
                return answer
            except ClientError as error:
                if error.code in _OF_PICTURES:
                    raise PictureError(error.code, error.message) from None
                if isinstance(error, UnreachableError) and not self._met:
                    pause = None  # it has not been started, rather than being started anew
                if pause is None or not _passes(error):
                    raise CommandError(_advice(error)) from None
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def _passes(error: ClientError) -> bool:
    lost = (UnreachableError, ConnectionLostError, ServiceTimeoutError)
    return isinstance(error, lost) or error.code in _NOT_NOW


def _advice(error: ClientError) -> str:
    if isinstance(error, UnreachableError):
        return f"{error.message}; start it with: make run"
    return f"the service gave no answer: {error.message} ({error.code})"
