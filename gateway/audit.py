"""The audit log: who changed what, and who was refused; never what a face looks like.

One line of JSON a request, written by a thread of its own. A disk that is full or away costs
lines, not requests; how many is told in the service's log.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Optional

LOG = logging.getLogger("gateway")

# Lines that wait for the disk; further ones are lost.
QUEUE = 10_000
# Seconds between two complaints, and that closing waits for the disk.
COMPLAIN_S = 60.0
CLOSE_S = 5.0

# The form of ids, and of lists of them. What else a client sends as an id might be anything.
_IDS = re.compile(r"[A-Za-z0-9_@,]{1,512}")
_LONGEST_PATH = 200
NOT_AN_ID = "(not an id)"


@dataclass(frozen=True)
class Event:
    """A request that changed something, or was refused.

    log_id, request_id: as the answer has them. address: where it came from. key: the id of the
    key that it named, right or wrong. app: None where it is not known. path: without the query.
    group_id, user_id: as they were sent. error_code: 0 where it was done. seconds: it took.
    """

    log_id: int
    request_id: str
    address: str
    key: str
    app: Optional[str]
    path: str
    error_code: int
    seconds: float
    group_id: Optional[str] = None
    user_id: Optional[str] = None


class Audit:
    """Writes events to a file, readable by its owner only, and rotates it.

    file: its folder is made. max_bytes: of the file. backups: how many old ones are kept.
    """

    def __init__(self, file: Path, max_bytes: int, backups: int) -> None:
        self._lines: queue.Queue[Optional[str]] = queue.Queue(QUEUE)
        self._overflow = 0  # lines, since the start, that did not go into the queue,
        self._seen = 0  # and those of them that the writer has counted
        self._handler = _Handler(file, max_bytes, backups)
        self._thread = threading.Thread(target=self._write, name="audit", daemon=True)
        self._thread.start()

    def record(self, event: Event) -> None:
        """Have an event written; returns at once. Nothing is written after `close`."""
        try:
            self._lines.put_nowait(_line(event))
        except queue.Full:
            self._overflow += 1

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            self._count_overflow()
            self._handler.handle(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))
        self._count_overflow()
        self._handler.close()

    def _count_overflow(self) -> None:
        overflow = self._overflow
        self._handler.lost += overflow - self._seen
        self._seen = overflow

    def close(self) -> None:
        """Write what waits; a disk that does not answer is waited for a few seconds only."""
        with suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_S)
            self._thread.join(CLOSE_S)


class _Handler(RotatingFileHandler):
    """lost: lines since the last complaint that could not be written."""

    def __init__(self, file: Path, max_bytes: int, backups: int) -> None:
        super().__init__(
            file, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", delay=True
        )
        self.lost = 0
        self._complained = -COMPLAIN_S

    def _open(self) -> TextIOWrapper:
        file = Path(self.baseFilename)
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = open(file, "a", encoding=self.encoding, opener=_owners)  # noqa: SIM115 - kept open
        if _is_cut_off(file):
            stream.write("\n")
        return stream

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        if time.monotonic() - self._complained >= COMPLAIN_S:
            self._complain()

    def close(self) -> None:
        """Close the file, and tell of what was lost since the last complaint."""
        super().close()
        self._complain()

    def _complain(self) -> None:
        if self.lost:
            LOG.error("audit log %s: %d lines are lost", self.baseFilename, self.lost)
            self.lost = 0
            self._complained = time.monotonic()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Called where a line could not be written. The file is opened anew for the next one."""
        self.lost += 1
        stream, self.stream = self.stream, None  # type: ignore[assignment] # opens itself
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _owners(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _is_cut_off(file: Path) -> bool:
    """Whether a file was left in the middle of a line, by a disk that became full."""
    with file.open("rb") as opened:
        if not opened.seek(0, os.SEEK_END):
            return False
        opened.seek(-1, os.SEEK_END)
        return opened.read(1) != b"\n"


def _line(event: Event) -> str:
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    document = {
        "time": now,
        "log_id": event.log_id,
        "request_id": event.request_id,
        "address": event.address,
        "key": event.key,
        "app": _id(event.app),
        "path": event.path[:_LONGEST_PATH],
        "group_id": _id(event.group_id),
        "user_id": _id(event.user_id),
        "error_code": event.error_code,
        "ms": round(event.seconds * 1000, 3),
    }
    return json.dumps(document)


def _id(value: Optional[str]) -> Optional[str]:
    if value is None or _IDS.fullmatch(value):
        return value
    return NOT_AN_ID
