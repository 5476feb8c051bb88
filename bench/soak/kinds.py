"""What the clients of the soak send: good requests, bad ones, and such that nobody waits for."""

from __future__ import annotations

import base64
import enum
import json
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.load.pictures import NAMES, PictureSet, make_sets
from client.pipeline.answer import WANTS
from ops.errors import ErrorKind
from paddle_fence.messages import pipeline_messages

# How often each comes, of `sum(...)` requests.
_GOOD = {"vga": 8, "hd": 5, "six": 5, "aligned": 8, "aligned8": 4, "everything": 4}
_BAD, _LEAVING = 4, 2
_TEXT = b"%PDF-1.7 is no picture"


class Manner(enum.Enum):
    """What a client does about its answer."""

    WAITS = "waits"
    HANGS_UP = "hangs up before the answer"
    HANGS_UP_EARLY = "hangs up in the middle of the request"
    STALLS = "stalls in the middle of the request, then hangs up"


@dataclass(frozen=True)
class Kind:
    """A request. body, message: of HTTP and gRPC, None where it goes over the other one only.

    faces: in the answer. error: `err_no` that it has to be answered with. status: of HTTP.
    """

    name: str
    body: bytes | None
    message: bytes | None
    faces: int = 0
    error: int = 0
    status: int = 200
    path: str = ""
    manner: Manner = Manner.WAITS

    @property
    def good(self) -> bool:
        """Whether it is answered with faces."""
        return not self.error and self.manner is Manner.WAITS


def good_kinds() -> dict[str, Kind]:
    """A kind for each picture set, and `everything`, which gives every stage work."""
    kinds = {one.name: _of_set(one.name, one) for one in make_sets(NAMES)}
    kinds["everything"] = _of_set("everything", make_sets(["vga"])[0].wanting(WANTS))
    return kinds


def _of_set(name: str, pictures: PictureSet) -> Kind:
    return _kind(name, *pictures.key_values(), faces=pictures.faces)


def bad_kinds() -> list[Kind]:
    """Requests that have to be refused, each with its number."""
    picture = base64.b64decode(make_sets(["vga"])[0].pictures[0])
    pictures = {
        ErrorKind.NOT_BASE64: "this is no base64!",
        ErrorKind.EMPTY_PICTURE: "",
        ErrorKind.UNSUPPORTED_FORMAT: _base64(_TEXT),
        ErrorKind.BROKEN_PICTURE: _base64(picture[: len(picture) // 2]),
        ErrorKind.PICTURE_TOO_MANY_PIXELS: _base64(_huge_png()),
    }
    kinds = [_refused(error, ["image"], [text]) for error, text in pictures.items()]
    kinds += [
        _refused(ErrorKind.MALFORMED_REQUEST, [], []),
        _refused(ErrorKind.UNKNOWN_KEY, ["picture"], [""]),
        _refused(ErrorKind.MALFORMED_OPTIONS, ["image", "options"], ["", '{"max_faces": "all"}']),
        Kind("no JSON", b'{"key": ["image"', None, 0, ErrorKind.MALFORMED_REQUEST.code, 400),
        Kind(
            "no service", b"{}", None, 0, ErrorKind.NO_SUCH_SERVICE.code, 404, "/Other/prediction"
        ),
    ]
    return kinds


def leaving_kinds() -> list[Kind]:
    """Good requests of clients that do not wait for the answer."""
    pictures = make_sets(["hd"])[0]
    manners = [manner for manner in Manner if manner is not Manner.WAITS]
    keys, values = pictures.key_values()
    # gRPC sends a message whole: over it there is only one way to leave.
    return [
        _kind(manner.value, keys, values, manner=manner, rpc=manner is Manner.HANGS_UP)
        for manner in manners
    ]


class Mix:
    """All kinds, made once, and the order in which a client sends them."""

    def __init__(self) -> None:
        good = good_kinds()
        self._good = [good[name] for name, count in _GOOD.items() for _ in range(count)]
        self._bad, self._leaving = bad_kinds(), leaving_kinds()

    def schedule(self, seed: int, http: bool) -> Iterator[Kind]:
        """Requests of one client without end, in their proportions, in random order."""
        order = random.Random(seed)  # noqa: S311 - reproducible load
        bad, leaving = (
            [kind for kind in kinds if (kind.body if http else kind.message) is not None]
            for kinds in (self._bad, self._leaving)
        )
        while True:
            deck = [*self._good, *order.choices(bad, k=_BAD), *order.choices(leaving, k=_LEAVING)]
            order.shuffle(deck)
            yield from deck


def _refused(error: ErrorKind, keys: Sequence[str], values: Sequence[str]) -> Kind:
    return _kind(error.name, keys, values, error=error.code)


def _kind(
    name: str,
    keys: Sequence[str],
    values: Sequence[str],
    faces: int = 0,
    error: int = 0,
    manner: Manner = Manner.WAITS,
    rpc: bool = True,
) -> Kind:
    body = json.dumps({"key": list(keys), "value": list(values)}).encode()
    message = pipeline_messages().Request(key=keys, value=values).SerializeToString()
    return Kind(name, body, message if rpc else None, faces, error, manner=manner)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _huge_png() -> bytes:
    """A PNG of some bytes whose header promises 60,000 x 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
