"""Where the tracer's text is: a file that grows, is rotated, and may be cut off at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tracer.parse import Interval, parse

NAME = Path("PipelineServingLogs/pipeline.tracer")  # below config.yml's log.dir
FIRST_LOOK = 64 * 1024  # bytes from the end: some blocks of a usual DAG
LAST_LOOK = 64 * 1024 * 1024  # bytes from the end that a search reads at most


def parts(path: Path) -> list[Path]:
    """The file and those it was rotated to (``.1`` is the youngest), newest first.

    Raises FileNotFoundError where there is none of them.
    """
    found = [path] if path.is_file() else []
    number = 1
    while (older := Path(f"{path}.{number}")).is_file():
        found.append(older)
        number += 1
    if not found:
        raise FileNotFoundError(f"no such file: {path}")
    return found


def read_all(path: Path) -> Iterator[Interval]:
    """Every interval of the file and its rotated parts, oldest first."""
    return parse(_lines(list(reversed(parts(path)))))


def read_last(path: Path, wanted: Callable[[Interval], bool]) -> Interval | None:
    """The newest interval for which ``wanted`` is true, without reading more than is needed."""
    size = FIRST_LOOK
    while True:
        text, whole = _tail(parts(path), size)
        found = None
        for interval in _settled(list(parse(text.splitlines(keepends=True)))):
            if wanted(interval):
                found = interval
        if found is not None or whole or size >= LAST_LOOK:
            return found
        size *= 8


def _settled(intervals: list[Interval]) -> list[Interval]:
    """Without a last block that is being written right now: channels are missing there."""
    if len(intervals) > 1 and len(intervals[-1].channels) < len(intervals[-2].channels):
        return intervals[:-1]
    return intervals


def _lines(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        with path.open(encoding="utf-8", errors="replace") as text:
            yield from text


def _tail(newest_first: list[Path], size: int) -> tuple[str, bool]:
    """The last ``size`` bytes over all parts, and whether that is everything."""
    chunks: list[bytes] = []
    for path in newest_first:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            chunks.append(file.read(size))
        size -= length
        if size < 0:
            break
    text = b"".join(reversed(chunks)).decode("utf-8", errors="replace")
    return text, size >= 0
