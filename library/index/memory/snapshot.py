"""Snapshots: an index in one file that is mapped into memory instead of being built again.

The file: a page with the preamble (magic, format, where the directory is), the arrays of each
block as they stand in memory, each with its padding up to the next page, and the directory as
JSON with every array's place and checksum. Numbers are little-endian.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from library.index.memory.block_table import BlockTable
from library.index.memory.entry_block import EntryBlock
from library.index.vector_index import Collection

MAGIC = b"FACEIDX\n"
# Changes whenever an older reader could misread the file.
FORMAT = 1
# Magic, format, the directory's checksum, its place, its bytes; then a checksum of these.
PREAMBLE = struct.Struct("<8sIIQQ")
PREAMBLE_CHECKSUM = struct.Struct("<I")
PAGE = 4096
_CHUNK = 4 << 20


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SavedArray(_Model):
    """Where an array is. place, size: in bytes, without padding. checksum: CRC-32 with it."""

    place: int = Field(ge=PAGE)
    size: int = Field(ge=0)
    checksum: int = Field(ge=0)


class SavedBlock(_Model):
    """A block of `count` rows; sketch and code_book are None where it has no sketch."""

    count: int = Field(ge=1)
    limit: float = Field(gt=0, le=1)
    ids: SavedArray
    persons: SavedArray
    groups: SavedArray
    alive: SavedArray
    codes: SavedArray
    sketch: SavedArray | None = None
    code_book: SavedArray | None = None


class Directory(_Model):
    """What the file holds. version: of the app, that the index was at."""

    app_id: int
    model: str
    dim: int
    origin: str
    version: int
    storage: str
    blocks: list[SavedBlock]


@dataclass(frozen=True)
class _Content:
    """A block's arrays, and the limit of the codec that they are of."""

    count: int
    limit: float
    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Snapshot:
    """What a file is to hold; taken in a moment, so that writing it can take its time."""

    collection: Collection
    version: int
    storage: str
    blocks: list[_Content]

    @classmethod
    def of(cls, table: BlockTable, collection: Collection, version: int) -> Snapshot:
        """The table as it is now; the caller holds its lock until this returns.

        Rows that are written never change. One that is removed meanwhile may be written as wiped
        and yet alive: its removal is above `version` and will be told to whoever loads the file.
        """
        blocks = [_content(block) for block in table.view.blocks if block.count]
        return cls(collection, version, table.storage, blocks)

    def write(self, path: Path) -> None:
        """Write the file beside `path`, make sure that it is on disk, and rename it.

        To be called within `writing_in`. Raises OSError; what was at `path` is then as it was.
        """
        _remove_left_behind(path)
        # Embeddings are biometric data: mkstemp makes a file for this user only.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                self._write_to(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _write_to(self, file: BinaryIO) -> None:
        file.write(bytes(PAGE))
        blocks = []
        for block in self.blocks:
            arrays = {name: _write(file, array) for name, array in block.arrays.items()}
            blocks.append(SavedBlock(count=block.count, limit=block.limit, **arrays))
        directory = Directory(
            **asdict(self.collection), version=self.version, storage=self.storage, blocks=blocks
        )
        text = directory.model_dump_json().encode("utf-8")
        preamble = PREAMBLE.pack(MAGIC, FORMAT, zlib.crc32(text), file.tell(), len(text))
        file.write(text)
        file.seek(0)
        file.write(preamble + PREAMBLE_CHECKSUM.pack(zlib.crc32(preamble)))


def _content(block: EntryBlock) -> _Content:
    count, entries = block.count, block.entries
    arrays = {
        "ids": entries.ids[:count],
        "persons": entries.persons[:count],
        "groups": entries.groups[:count],
        "alive": block.alive[:count].copy(),
        "codes": entries.codes[:count],
    }
    if block.sketch is not None:
        arrays["sketch"], arrays["code_book"] = block.sketch.arrays()
    return _Content(count, block.codec.limit, arrays)


def _write(file: BinaryIO, array: np.ndarray) -> SavedArray:
    """Write an array and zeros up to the next page."""
    place, checksum = file.tell(), 0
    flat = array.reshape(-1).view(np.uint8)
    for start in range(0, len(flat), _CHUNK):
        # A copy: rows may be wiped between the checksum and the writing.
        chunk = flat[start : start + _CHUNK].tobytes()
        checksum = zlib.crc32(chunk, checksum)
        file.write(chunk)
    padding = bytes(-len(flat) % PAGE)
    file.write(padding)
    return SavedArray(place=place, size=len(flat), checksum=zlib.crc32(padding, checksum))


def _remove_left_behind(path: Path) -> None:
    """Remove what killed processes left: no other one is writing."""
    for file in path.parent.glob(f".{path.name}.*.tmp"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Only one thread of all processes at a time; a process that dies gives it up. Raises OSError.

    Who writes a snapshot looks within this whether there is a later one: what has been deleted
    since then must not come back.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            # Closing would not do where a forked process has the descriptor too.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)
