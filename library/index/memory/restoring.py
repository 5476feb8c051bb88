"""Loading a snapshot: the file is mapped, checked in full, and its arrays become the index's.

The mapping is private: what changes afterwards is this process's own, and the file stays as it
is. Processes that have mapped one file share its memory. The file may be exchanged (a rename
leaves the mapped one in place) but must not be written to.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from library.errors import SnapshotError
from library.index.memory.block_table import BlockTable
from library.index.memory.codec import Codec, make_codec
from library.index.memory.entry_block import Entries, EntryBlock
from library.index.memory.faiss_engine import cores, run_on_threads
from library.index.memory.sketch import Sketch
from library.index.memory.snapshot import (
    FORMAT,
    MAGIC,
    PAGE,
    PREAMBLE,
    PREAMBLE_CHECKSUM,
    Directory,
    SavedArray,
    SavedBlock,
)
from library.index.vector_index import Collection


def restore(table: BlockTable, collection: Collection, path: Path) -> int:
    """Fill an empty table from a file; the app's version that it is at.

    Raises:
        SnapshotError: snapshot_mismatch for another collection, storage or format,
            snapshot_damaged for whatever else is not as it was written.
        FileNotFoundError: there is no file.
    """
    content = _mapped(path)
    directory = _directory(content)
    if _collection(directory) != collection:
        raise SnapshotError("snapshot_mismatch", "It is of another app or recogniser.")
    if directory.storage != table.storage:
        raise SnapshotError("snapshot_mismatch", f"It holds faces as {directory.storage}.")
    try:
        _check(content, directory)
        table.restore(list(_blocks(content, directory, table)))
    except ValueError as error:
        raise _damaged(str(error)) from error
    return directory.version


def kept(path: Path) -> tuple[Collection, int] | None:
    """Whose faces a snapshot holds, and its version; None where there is none that is whole.

    Only what the file says of itself is read.
    """
    try:
        directory = _directory(_mapped(path))
    except (FileNotFoundError, SnapshotError):
        return None
    return _collection(directory), directory.version


def _damaged(what: str) -> SnapshotError:
    return SnapshotError("snapshot_damaged", f"The snapshot has {what}.")


def _collection(directory: Directory) -> Collection:
    return Collection(directory.app_id, directory.model, directory.dim, directory.origin)


def _mapped(path: Path) -> np.ndarray:
    """The file's bytes: (n,) uint8, private to this process."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except FileNotFoundError:
        raise
    except ValueError:
        raise _damaged("no content") from None
    except OSError as error:
        raise _damaged(f"not been readable: {error.strerror}") from error
    return np.frombuffer(content, np.uint8)


def _directory(content: np.ndarray) -> Directory:
    """What the file says that it holds."""
    if len(content) < PAGE:
        raise _damaged("no whole preamble")
    magic, format_, checksum, place, size = PREAMBLE.unpack_from(content.data)
    (own,) = PREAMBLE_CHECKSUM.unpack_from(content.data, PREAMBLE.size)
    head = PREAMBLE.size + PREAMBLE_CHECKSUM.size
    if (
        magic != MAGIC
        or own != zlib.crc32(content[: PREAMBLE.size].data)
        or content[head:PAGE].any()
    ):
        raise _damaged("a damaged preamble")
    if format_ != FORMAT:
        raise SnapshotError("snapshot_mismatch", f"Its format is {format_}, not {FORMAT}.")
    if place + size != len(content):
        raise _damaged("another length than it says")
    text = content[place:].tobytes()
    if zlib.crc32(text) != checksum:
        raise _damaged("a damaged directory")
    try:
        return Directory.model_validate_json(text)
    except ValueError as error:
        raise _damaged("a directory that cannot be read") from error


def _check(content: np.ndarray, directory: Directory) -> None:
    """Compare every array with its checksum. Raises ValueError."""
    arrays = [array for block in directory.blocks for array in _arrays(block).values()]
    waiting = iter(arrays)

    def task() -> bool:
        return all(zlib.crc32(content[_extent(array)].data) == array.checksum for array in waiting)

    ends = [PAGE, *(_extent(array).stop for array in arrays)]
    if [array.place for array in arrays] != ends[:-1] or ends[-1] > len(content):
        raise ValueError("arrays that are not where they should be")
    if not all(run_on_threads(task, cores())):
        raise ValueError("an array that is damaged")


def _arrays(block: SavedBlock) -> dict[str, SavedArray]:
    """Of a block, in the order in which they are written."""
    fields = ((name, getattr(block, name)) for name in SavedBlock.model_fields)
    return {name: value for name, value in fields if isinstance(value, SavedArray)}


def _extent(array: SavedArray) -> slice:
    """The array with its padding."""
    return slice(array.place, array.place + array.size + -array.size % PAGE)


def _blocks(content: np.ndarray, directory: Directory, table: BlockTable) -> Iterator[EntryBlock]:
    """The blocks, their arrays views of the file. Raises ValueError where sizes do not fit."""
    codecs: dict[float, Codec] = {}
    for saved in directory.blocks:
        codec = codecs.setdefault(saved.limit, make_codec(table.storage, table.dim, saved.limit))
        if saved.count > table.block_rows:
            raise ValueError(f"a block of {saved.count} rows")

        def view(array: SavedArray, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
            return content[array.place : array.place + array.size].view(dtype).reshape(shape)

        rows = (saved.count,)
        entries = Entries(
            view(saved.ids, "<i8", rows),
            view(saved.persons, "<i8", rows),
            view(saved.groups, "<i8", rows),
            view(saved.codes, "u1", (saved.count, codec.code_size)),
        )
        block = EntryBlock(codec, entries, view(saved.alive, "?", rows), saved.count)
        block.sketch = _sketch(content, saved, table.dim)
        yield block


def _sketch(content: np.ndarray, saved: SavedBlock, dim: int) -> Sketch | None:
    if saved.sketch is None or saved.code_book is None:
        return None
    codes = content[saved.sketch.place :][: saved.sketch.size]
    book = content[saved.code_book.place :][: saved.code_book.size].view("<f4")
    return Sketch.restored(saved.count, dim, codes, book)
