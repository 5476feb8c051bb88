"""Forms in bodies: urlencoded and multipart, read within limits on what they are made of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from web.json_text import MARK, MOST_WIDE
from web.uploads import Body

MOST_FIELDS = 64
# A part's header line has the names of its field and of a file, of at most 255 bytes that three
# characters each may stand for.
MOST_LINE = 2048
MOST_LINES = 8  # RFC 7578 knows three
MOST_BOUNDARY = 70  # RFC 2046, 5.1.1

_PIECE = 64 * 1024
# More than a boundary and the line's end behind the last one, which have to be in one piece.
_LAST_PIECE = 1024

Fields = dict[str, str | bytes]


class FormError(ValueError):
    """A form that cannot be read, or has too much in it."""


def parse_urlencoded(body: Body) -> dict[str, str]:
    """The fields of a form; of several of one name the last.

    In UTF-8, whatever charset it says (as the URL standard has it), which curl sends as it is.
    Raises FormError.
    """
    if body.count(b"&") >= MOST_FIELDS:
        raise FormError(f"The form has more than {MOST_FIELDS} fields")
    fields = {}
    first, *others = body.split(b"&")
    for pair in (first.removeprefix(MARK), *others):
        name, equals, value = pair.partition(b"=")
        if name or equals:
            fields[_text(_unquoted(name))] = _text(_unquoted(value))
    return fields


def parse_multipart(body: Body, content_type: str) -> Fields:
    """The fields of a form: texts, and files as bytes; of several of one name the last.

    content_type: of the request, with the boundary. Raises FormError.
    """
    # The longest header that is meant well is much shorter.
    boundary = parse_options_header(content_type[:MOST_LINE])[1].get("boundary", "")
    if not 0 < len(boundary) <= MOST_BOUNDARY or not boundary.isascii():
        raise FormError(f"A boundary of 1 to {MOST_BOUNDARY} characters is expected")
    parser = PushMultipartParser(
        boundary,
        max_header_size=MOST_LINE,
        max_header_count=MOST_LINES,
        max_segment_count=MOST_FIELDS,
        strict=True,
    )
    fields: Fields = {}
    content = bytearray()
    try:
        with parser:
            for piece in _pieces(body):
                for event in parser.parse(piece):
                    if isinstance(event, MultipartSegment):
                        segment, content = event, bytearray()
                    elif event is not None:
                        content += event
                    else:
                        fields[segment.name] = _value(segment, content)
    except MultipartError:
        raise FormError("The form cannot be read") from None
    return fields


def _pieces(body: Body) -> Iterator[Body]:
    """The body, so that a few bytes behind the last boundary come with it, not alone."""
    start = 0
    while start < len(body):
        end = start + _PIECE
        if len(body) - end < _LAST_PIECE:
            end = len(body)
        yield body[start:end]
        start = end


def _value(segment: MultipartSegment, content: bytearray) -> str | bytes:
    # A file's name may be given in the form of RFC 2231 alone.
    is_file = segment.filename is not None or "filename*" in segment["Content-Disposition"]
    return bytes(content) if is_file else _text(content)


def _text(content: Body) -> str:
    if len(content) > MOST_WIDE and not content.isascii():
        raise FormError(f"A text that is not ASCII has more than {MOST_WIDE} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise FormError("A field of the form is not UTF-8") from None


def _unquoted(text: Body) -> Body:
    """What percent-encoding stands for; what is none is left as it is.

    urllib's function makes an object of every escape, of 31 MB of them gigabytes.
    """
    text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text
    made = bytearray()
    start = 0
    while start < len(text):
        # No escape is cut in two: one that begins in the last two bytes is left for the next piece.
        end = start + _PIECE
        for back in (1, 2):
            if text[end - back : end - back + 1] == b"%":
                end -= back
                break
        made += _unquoted_piece(text[start:end])
        start = end
    return made


_HEX = np.full(256, -1, np.int16)
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _HEX[np.frombuffer(_digits, np.uint8)] = np.arange(16)


def _unquoted_piece(text: Body) -> bytes:
    codes = np.frombuffer(text, np.uint8)
    places = np.flatnonzero(codes[:-2] == ord("%"))
    high, low = _HEX[codes[places + 1]], _HEX[codes[places + 2]]
    whole = (high >= 0) & (low >= 0)
    places = places[whole]
    made = codes.copy()
    made[places] = high[whole] * 16 + low[whole]
    kept = np.ones(len(codes), bool)
    kept[places + 1] = kept[places + 2] = False
    return made[kept].tobytes()
