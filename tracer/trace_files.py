"""Where the tracer's text is: a file that grows, is rotated, and may be cut off at its end."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from tracer.parse import Interval, parse

NAME = Path("PipelineServingLogs/pipeline.tracer")  # below config.yml's log.dir
FIRST_LOOK = 64 * 1024  # bytes from the end: some blocks of a usual DAG
EVERYTHING = 1 << 62  # bytes


def existing(paths: Sequence[Path]) -> Sequence[Path]:
    """Those of a service's files that are there, all where none is: replicas come and go."""
    return [path for path in paths if path.exists() or Path(f"{path}.1").exists()] or paths


def read_all(path: Path) -> list[Interval]:
    """Every interval of the file and its rotated parts, oldest first.

    Raises FileNotFoundError where there is none of them, OSError where one cannot be read.
    """
    return read_while(path, lambda _intervals: True, EVERYTHING)


def read_while(
    path: Path, more: Callable[[list[Interval]], bool], size: int = FIRST_LOOK
) -> list[Interval]:
    """The newest intervals, reading further back as long as ``more`` is true of what was found.

    size: bytes to begin with. Raises as ``read_all``.
    """
    while True:
        text, whole = _tail(path, size)
        lines = (line.decode("utf-8", errors="replace") for line in io.BytesIO(text))
        found = _settled(list(parse(lines)))
        if whole or not more(found):
            return found
        size *= 8


def _settled(intervals: list[Interval]) -> list[Interval]:
    """Without a last block that is being written right now: channels are missing there."""
    if len(intervals) > 1 and len(intervals[-1].channels) < len(intervals[-2].channels):
        return intervals[:-1]
    return intervals


def _tail(path: Path, size: int) -> tuple[bytes, bool]:
    """The last ``size`` bytes over the file and its rotated parts, and whether that is all."""
    chunks: list[bytes] = []
    with contextlib.ExitStack() as stack:
        for file in _opened(path, stack):
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            chunks.append(file.read(min(size, length)))
            size -= length
            if size < 0:
                break
    return b"".join(reversed(chunks)), size >= 0


def _opened(path: Path, stack: contextlib.ExitStack) -> list[IO[bytes]]:
    """The file and those it was rotated to (``.1`` is the youngest), open, newest first.

    Newest first, because a rotation in between then shows a file twice instead of hiding one.
    """
    files: list[IO[bytes]] = []
    seen = set()
    number = 0
    while True:
        part = path if number == 0 else Path(f"{path}.{number}")
        try:
            file = stack.enter_context(part.open("rb"))
        except FileNotFoundError:
            # Between a rotation and the next block only the numbered files are there.
            if number > 0:
                break
        else:
            status = os.fstat(file.fileno())
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                files.append(file)
        number += 1
    if not files:
        raise FileNotFoundError(f"no such file: {path}")
    return files


def signature(path: Path) -> tuple[int, ...] | None:
    """Something that changes when the file does; None where it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
