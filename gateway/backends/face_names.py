"""Face tokens that are made of the picture: the same face of the same picture has the same one.

So a client that sends a picture once more, because the answer was lost, names nobody a second time.
A token is a keyed digest (BLAKE2b, RFC 7693) of the app, the bytes of the picture and the place of
the face in it. Its key is in the library's database, for all gateways on it; without the key a
token tells nothing of the picture, and without the picture nothing at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections import Counter
from functools import partial

from client.pipeline.wire import PictureSeen
from gateway.backends.face_tokens import new_token
from gateway.backends.library_calls import LibraryCalls
from gateway.backends.shared_result import SharedResult
from gateway.errors import ApiError, ErrorCode
from ops.pictures.picture_text import plain_base64
from web.turns import Turns

LOG = logging.getLogger("gateway")

# Seconds after which the key is read again: a restored library brings its own.
_FRESH_S = 1.0
# Seconds that a request waits for it, where it has never been read.
_PATIENCE_S = 2.0
# The picture's longer side has so many cells. A face is known by the one that its middle lies in:
# boxes of the same picture differ in the last bits, and neighbours are farther apart than a cell.
_CELLS = 64


class FaceNames:
    """Makes tokens of faces. For one event loop."""

    def __init__(self, library: LibraryCalls) -> None:
        """library: whose database has the key."""
        self._library = library
        self._turns = Turns()
        self._key: bytes | None = None
        self._said = False
        self._reading: SharedResult[None] = SharedResult(_FRESH_S)

    async def of(
        self, app: str, image: str, picture: PictureSeen, aligned: bool, seconds: float
    ) -> list[str]:
        """The tokens of a picture's faces, in their order.

        image: base64 as the pipeline took it. aligned: it is one face, cut out. seconds: that the
        key, and then the picture's digest, are waited for at most.
        They are drawn while the database has never told the key. Raises ApiError PIPELINE.
        """
        key = await self._known_key(min(seconds, _PATIENCE_S))
        if key is None:
            return [new_token() for _ in picture.faces]
        digest = partial(_digest, key=key)
        try:
            read = await self._turns.parse(digest, image.encode("ascii"), seconds)
        except TimeoutError:
            raise ApiError(ErrorCode.PIPELINE, "not answered in time") from None
        places = ["aligned"] if aligned else _places(picture, read)
        return [_token(key, app, read, place) for place in places]

    async def _known_key(self, patience: float) -> bytes | None:
        """The key as it was read last; only the first time is it waited for."""
        reading = self._reading.begun(self._read)
        if self._key is None:
            await asyncio.wait({reading}, timeout=patience)
        return self._key

    async def _read(self) -> None:
        try:
            self._key = await self._library.call(lambda library: library.store.token_key())
        except ApiError as error:
            if self._key is None and not self._said:
                LOG.warning("face tokens are drawn for now: %s", error)
                self._said = True


def _digest(image: bytes, key: bytes) -> bytes:
    """Of a picture that the pipeline could read, however its base64 was written.

    Of the one spelling that the picture's bytes have, which takes less than decoding it once more.
    """
    return hashlib.blake2b(plain_base64(image), key=key, digest_size=32).digest()


def _places(picture: PictureSeen, digest: bytes) -> list[str]:
    """Where each face is: its cell, and which one of those in it, the largest first.

    The grid is shifted by what the picture's digest says, so that no form of picture, such as a
    face in its very middle, lies on the border of two cells.
    """
    side = max(picture.width, picture.height, 1) / _CELLS
    shift = [int.from_bytes(digest[n : n + 4], "big") / 2**32 for n in (0, 4)]
    count: Counter[tuple[int, ...]] = Counter()
    places = []
    for face in picture.faces:
        middle = [(face.box[n] + face.box[n + 2]) / 2 for n in (0, 1)]
        cell = tuple(math.floor(middle[n] / side + shift[n]) for n in (0, 1))
        places.append(f"{cell[0]} {cell[1]} {count[cell]}")
        count[cell] += 1
    return places


def _token(key: bytes, app: str, digest: bytes, place: str) -> str:
    """32 hexadecimal digits. An app's name has no NUL, and no place has."""
    content = b"\0".join([app.encode(), place.encode(), digest])
    return hashlib.blake2b(content, key=key, digest_size=16).hexdigest()
