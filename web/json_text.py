"""JSON of requests, read within limits on what it becomes in memory.

31 MB of ``[],`` would be ten million lists of 56 bytes, and one wide character makes a text four
times as large as it was sent. What a request is for is one or a few long texts, the pictures in
base64, and little beside them.
"""

from __future__ import annotations

from typing import Any

import orjson

# Of UTF-8, which some programs write before every text.
MARK = b"\xef\xbb\xbf"
# Values of a document beside those that are first in their list or object. The largest request
# that is meant well, two lists of 1024 pictures, has some 2,100.
MOST_VALUES = 10_000
# Characters of all texts together that are not ASCII: names and remarks, not pictures.
MOST_WIDE = 65_536

_MARKS = (b",", b"[", b"{")


def parse_json(body: bytes | bytearray) -> Any:
    """The document in a body of UTF-8; of an object that has a name twice, the last value.

    Takes at most about twice the body's size. Raises ValueError, with a sentence that tells why
    and holds nothing of the body.
    """
    left = MOST_VALUES
    for mark in _MARKS:
        left -= _count(body, mark, left + 1)
        if left < 0:
            raise ValueError(f"The JSON has more than {MOST_VALUES} values")
    try:
        document = orjson.loads(memoryview(body)[len(MARK) :] if body.startswith(MARK) else body)
    except ValueError:
        raise ValueError("The body is not JSON") from None
    if _wide_characters(document) > MOST_WIDE:
        raise ValueError(f"Texts that are not ASCII have more than {MOST_WIDE} characters")
    return document


def _count(body: bytes | bytearray, mark: bytes, most: int) -> int:
    """How often a byte occurs, up to `most`. Where it is rare, faster than bytes.count."""
    count, place = 0, body.find(mark)
    while place >= 0 and count < most:
        count += 1
        place = body.find(mark, place + 1)
    return count


def _wide_characters(document: Any) -> int:
    count = 0
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            count += 0 if value.isascii() else len(value)
        elif isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return count
