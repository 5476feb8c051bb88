"""Bodies packed by `Content-Encoding`: unpacked in small pieces, so that a limit holds at any time.

A byte of gzip may stand for a thousand. Whoever takes the pieces counts them as if they had been
sent, and stops where it is enough.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

# Unpacked in half a millisecond at most.
PIECE_BYTES = 64 * 1024
# zlib copies what it was given and has not read yet, once for each piece.
_SLICE = 16 * 1024

_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's `wbits`
_DEFLATED = 8  # the first four bits of zlib's format (RFC 1950, 2.2)


class UnknownEncodingError(ValueError):
    """A body is packed in a way that is not taken."""


class BrokenEncodingError(ValueError):
    """A body is not what its Content-Encoding says, or not whole."""


class Unpacker:
    """Unpacks one body.

    is_gzip: RFC 1952, of one member; otherwise deflate, in zlib's format (RFC 1950) as the standard
    wants it, or raw (RFC 1951) as some clients send it. No raw one begins as zlib's does: there
    the four bits would mean a stored block whose padding is not zero.
    """

    def __init__(self, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        self._inflate: zlib._Decompress | None = None

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """What comes of the next part of the body, PIECE_BYTES at a time.

        Raises BrokenEncodingError.
        """
        if not part:
            return
        if self._inflate is None:
            kind = _ZLIB if part[0] & 0x0F == _DEFLATED else _RAW
            self._inflate = zlib.decompressobj(_GZIP if self._is_gzip else kind)
        for start in range(0, len(part), _SLICE):
            yield from _unpacked(self._inflate, part[start : start + _SLICE])

    def end(self) -> None:
        """The body has come to its end; an empty one needs no packing.

        Raises BrokenEncodingError.
        """
        if self._inflate is not None and not self._inflate.eof:
            raise BrokenEncodingError("The packed body is cut off")


def _unpacked(inflate: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    more = True
    while more:
        if inflate.eof:
            raise BrokenEncodingError("Something follows the end of the packed body")
        try:
            piece = inflate.decompress(packed, PIECE_BYTES)
        except zlib.error:
            raise BrokenEncodingError("The body is not packed as it says") from None
        packed = inflate.unused_data or inflate.unconsumed_tail
        # A piece may be full before all is out that has been read.
        more = bool(packed) or (len(piece) == PIECE_BYTES and not inflate.eof)
        if piece:
            yield piece


def unpacker_of(headers: Iterable[tuple[bytes, bytes]]) -> Unpacker | None:
    """What unpacks the body of a request; None for one that comes as it is.

    headers: names in lower case. Raises UnknownEncodingError.
    """
    named = (value for name, value in headers if name == b"content-encoding")
    words = (word.strip().lower() for value in named for word in value.split(b","))
    packings = [word for word in words if word not in (b"", b"identity")]
    if not packings:
        return None
    if packings not in ([b"gzip"], [b"x-gzip"], [b"deflate"]):
        raise UnknownEncodingError("A body may be packed once, with gzip or deflate")
    return Unpacker(is_gzip=packings != [b"deflate"])
