"""The boxes of a file of ISO's base media format (ISO/IEC 14496-12) that holds pictures."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ops.pictures.headers.header import MAX_ITEMS, broken, too_complex, unsupported

_MOST_BOXES = 4096
_WIDTHS = {0: None, 4: "I", 8: "Q"}
_IN_FILE, _IN_BOX = 0, 1  # where an item's bytes are: places count from the file's start or idat's


@dataclass(frozen=True)
class Box:
    """name: four bytes. start, end: of its content in the file."""

    name: bytes
    start: int
    end: int


@dataclass
class Item:
    """kind: four bytes; place: where that stands in the file. properties: in their order.

    parts: (start, end) in the file of its bytes. derived_from: items that it is made of.
    """

    kind: bytes = b""
    place: int = 0
    properties: list[Box] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)
    derived_from: list[int] = field(default_factory=list)


class Reader:
    """Reads numbers one after the other; what reaches beyond the end is a broken picture."""

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self._data = data
        self.place = start
        self._end = end

    def take(self, form: str) -> tuple[int, ...]:
        """Numbers by a form of `struct`, without its order."""
        place = self.place
        self.place += struct.calcsize(f">{form}")
        if self.place > self._end:
            raise broken("It ends within its header.")
        return struct.unpack_from(f">{form}", self._data, place)

    def one(self, form: str) -> int:
        """One number."""
        return self.take(form)[0]


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places; the last one may be cut off by the file's end."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            if start + 16 > end:
                raise broken("It ends within its header.")
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        elif size == 0:
            size = end - start
        if size < head:
            raise broken("A box is shorter than its own head.")
        yield Box(name, start + head, min(start + size, end))
        start += size
    raise too_complex(_MOST_BOXES, "boxes")


def read_items(data: bytes, meta: Box) -> tuple[int, dict[int, Item]]:
    """The primary item's number, and all items by their numbers. Raises ServiceError."""
    count = _Count()
    found = {box.name: box for box in boxes(data, meta.start + 4, meta.end)}
    primary = found.get(b"pitm")
    if primary is None or b"iinf" not in found or b"iloc" not in found:
        raise broken("It does not say which picture is the first.")
    reader = Reader(data, primary.start, primary.end)
    number = reader.one("H" if reader.one("I") >> 24 == 0 else "I")
    items = _kinds(data, found[b"iinf"], count)
    _add_parts(data, found[b"iloc"], found.get(b"idat"), items, count)
    if b"iref" in found:
        _add_references(data, found[b"iref"], items, count)
    if b"iprp" in found:
        _add_properties(data, found[b"iprp"], items, count)
    return number, items


class _Count:
    """How much has been read of what a file may have only so much of."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def add(self, number: int) -> None:
        """Raises ServiceError(PICTURE_TOO_COMPLEX)."""
        self._left -= number
        if self._left < 0:
            raise too_complex(MAX_ITEMS, "items and parts of them")


def _kinds(data: bytes, box: Box, count: _Count) -> dict[int, Item]:
    reader = Reader(data, box.start, box.end)
    count.add(reader.one("H" if reader.one("I") >> 24 == 0 else "I"))
    items: dict[int, Item] = {}
    for entry in boxes(data, reader.place, box.end):
        inner = Reader(data, entry.start, entry.end)
        version = inner.one("I") >> 24
        if entry.name == b"infe" and version >= 2:
            number = inner.take("HH" if version == 2 else "IH")[0]
            place = inner.place
            inner.take("4B")
            items[number] = Item(data[place : place + 4], place)
    return items


def _add_parts(
    data: bytes, box: Box, inside: Box | None, items: dict[int, Item], count: _Count
) -> None:
    reader = Reader(data, box.start, box.end)
    version = reader.one("I") >> 24
    widths = reader.one("H")
    try:
        place_form, size_form, base_form, index_form = (
            _WIDTHS[widths >> shift & 15] for shift in (12, 8, 4, 0)
        )
    except KeyError:
        raise broken("Its header gives places in no known form.") from None
    entries = reader.one("H" if version < 2 else "I")
    count.add(entries)
    for _ in range(entries):
        number = reader.one("H" if version < 2 else "I")
        method = reader.one("H") & 15 if version else _IN_FILE
        reader.take("H")
        base = reader.one(base_form) if base_form else 0
        parts = reader.one("H")
        count.add(parts)
        for _ in range(parts):
            if version and index_form:
                reader.take(index_form)
            start = base + (reader.one(place_form) if place_form else 0)
            size = reader.one(size_form) if size_form else 0
            if number in items:
                items[number].parts.append(_located(data, inside, method, start, size))


def _located(
    data: bytes, inside: Box | None, method: int, start: int, size: int
) -> tuple[int, int]:
    """Where a part lies in the file; its end may be beyond the file's."""
    if method == _IN_BOX and inside is not None:
        start += inside.start
        return start, start + size if size else inside.end
    if method != _IN_FILE:
        raise unsupported("Its pixels are put together in a way that is not read.")
    return start, start + size if size else len(data)


def _add_references(data: bytes, box: Box, items: dict[int, Item], count: _Count) -> None:
    form = "H" if Reader(data, box.start, box.end).one("I") >> 24 == 0 else "I"
    for entry in boxes(data, box.start + 4, box.end):
        reader = Reader(data, entry.start, entry.end)
        number, length = reader.take(f"{form}H")
        count.add(length)
        others: Sequence[int] = reader.take(f"{length}{form}")
        if entry.name == b"dimg" and number in items:
            items[number].derived_from += others


def _add_properties(data: bytes, box: Box, items: dict[int, Item], count: _Count) -> None:
    all_of_them: list[Box] | None = None
    for entry in boxes(data, box.start, box.end):
        if entry.name == b"ipco" and all_of_them is None:
            all_of_them = list(boxes(data, entry.start, entry.end))
        elif entry.name == b"ipma":
            _associate(data, entry, all_of_them or [], items, count)


def _associate(
    data: bytes, box: Box, properties: list[Box], items: dict[int, Item], count: _Count
) -> None:
    reader = Reader(data, box.start, box.end)
    head, entries = reader.take("II")
    count.add(entries)
    for _ in range(entries):
        number = reader.one("H" if head >> 24 == 0 else "I")
        properties_of_it = reader.one("B")
        count.add(properties_of_it)
        for _ in range(properties_of_it):
            place = reader.one("H") & 0x7FFF if head & 1 else reader.one("B") & 0x7F
            if number in items and 0 < place <= len(properties):
                items[number].properties.append(properties[place - 1])
