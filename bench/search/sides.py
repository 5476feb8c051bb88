"""What is compared: faiss's flat indexes of bare vectors, and the library's indexes."""

from __future__ import annotations

import abc
import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from library.index.memory.entry_block import BLOCK_ROWS
from library.index.memory.exact import ExactIndex
from library.index.memory.faiss_engine import faiss
from library.index.vector_index import Collection

USERS = 5
MODEL = "bench"


class Side(abc.ABC):
    """Something that is searched. name: in tables."""

    name: str

    @abc.abstractmethod
    def search(self, queries: np.ndarray) -> np.ndarray:
        """The best for each query, best first: (q, USERS) int64, rows of faces or persons."""


class Flat(Side):
    """A flat index of faiss: the best faces, of bare vectors."""

    def __init__(self, name: str, index: Any, threads: int) -> None:
        self.name = name
        self.index = index
        self._threads = threads

    def search(self, queries: np.ndarray) -> np.ndarray:
        with faiss_threads(self._threads):
            return self.index.search(queries, USERS)[1]


class Ours(Side):
    """An index of the library: the best users."""

    def __init__(self, name: str, index: ExactIndex) -> None:
        self.name = name
        self.index = index

    def search(self, queries: np.ndarray) -> np.ndarray:
        return self.index.search(queries, USERS).persons


@contextlib.contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Threads that faiss uses for calls of this thread."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def make_index(kind: type[ExactIndex], dim: int, storage: str, threads: int) -> ExactIndex:
    """An empty index of the library."""
    return kind(Collection(1, MODEL, dim), storage=storage, threads=threads)


def add_faces(
    index: ExactIndex, faces: np.ndarray, persons: np.ndarray, batch: int = 5000
) -> float:
    """Add the faces that are not in it yet, in batches; the seconds that it took.

    The entry's id is the face's row, and a hundredth of the persons is in each group.
    """
    began = time.perf_counter()
    for start in range(len(index), len(faces), batch):
        ids = np.arange(start, min(start + batch, len(faces)))
        rows = persons[ids]
        index.add(ids, rows, rows % 100, faces[start : start + batch], start + 1)
    return time.perf_counter() - began


def counted_bytes(index: ExactIndex) -> int:
    """Bytes of all that an index holds of its rows, the sketches too."""
    total = 0
    for block in index.table.view.blocks:
        entries = block.entries
        columns = (entries.ids, entries.persons, entries.groups, entries.codes, block.alive)
        total += sum(column[: block.count].nbytes for column in columns)
        if block.sketch is not None:
            total += sum(array.nbytes for array in block.sketch.arrays())
    return total


def stored_bytes(index: ExactIndex) -> int:
    """Bytes of the stored vectors alone."""
    return sum(block.entries.codes[: block.count].nbytes for block in index.table.view.blocks)


def resident_bytes() -> int:
    """Memory of this process that is its own or read from files."""
    return int(psutil.Process(os.getpid()).memory_info().rss)


def make_flat(dim: int, pieces: Iterator[np.ndarray], count: int) -> tuple[Any, np.ndarray]:
    """Faiss's flat index of the pieces, and its vectors (count, dim) without copying them."""
    index = faiss.IndexFlatIP(dim)
    index.codes.resize(count * dim * 4)
    vectors = faiss.rev_swig_ptr(index.get_xb(), count * dim).reshape(count, dim)
    start = 0
    for piece in pieces:
        vectors[start : start + len(piece)] = piece
        start += len(piece)
    index.ntotal = count
    return index, vectors


def make_fp16(dim: int, vectors: np.ndarray) -> Any:
    """Faiss's flat index of the vectors in fp16."""
    index = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    for start in range(0, len(vectors), BLOCK_ROWS):
        index.add(vectors[start : start + BLOCK_ROWS])
    return index


def forget_pages(path: Path) -> None:
    """Have the file read from the disk when it is read next."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
