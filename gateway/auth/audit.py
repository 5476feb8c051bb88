"""The audit log: who changed what, and who was refused; never what a face looks like.

A change has two lines of JSON in audit.log. `begun` is on the disk before the change is made, so
that there is none without a line, whatever is killed or cut off meanwhile; `done` has been
written before the change is answered. Where no line can be written, nothing may be changed.
Refusals are summed, in a file of their own: no flood of them can push a change out.

The files are written by a thread, which writes all lines that wait in one go.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.auth.log_file import LogFile
from gateway.auth.rates import NO_ADDRESS
from gateway.auth.refusals import PERIOD_S, Refusal, Refusals, told
from gateway.errors import ApiError, ErrorCode

LOG = logging.getLogger("gateway")

# Lines that wait for the disk; where so many do, it does not write at all.
QUEUE = 10_000
# Seconds that an answer waits for its line, that closing waits for the disk, and between two
# attempts on a file that cannot be written, or two complaints about one.
WRITE_S = 5.0
CLOSE_S = 5.0
RETRY_S = 1.0
COMPLAIN_S = 60.0

BEGUN, DONE, LATE = "begun", "done", "late"

# The form of ids, and of lists of them. What else a client sends as an id might be anything.
_IDS = re.compile(r"[A-Za-z0-9_@,]{1,512}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_LONGEST_PATH = 200
NOT_AN_ID = "(not an id)"


@dataclass(frozen=True)
class Event:
    """A request that is to change something.

    log_id, request_id: as the answer has them. address: where it came from. key: the id of its
    key, "" where none is asked for. app: that it acts in. path: of its route. group_id, user_id:
    as they were sent.
    """

    log_id: int
    request_id: str
    address: str
    key: str
    app: str
    path: str
    group_id: str | None = None
    user_id: str | None = None


class _Line:
    """A line that waits. sync: for the disk as well. written: told of it on its event loop."""

    def __init__(self, text: str, sync: bool, written: asyncio.Future[bool] | None) -> None:
        self.text = text
        self.sync = sync
        self.written = written
        self.is_wanted = True

    @property
    def is_told(self) -> bool:
        return self.written is not None and self.written.done()

    def tell(self, done: bool) -> None:
        if self.written is not None and not self.written.done():
            self.written.set_result(done)


class Audit:
    """Writes events to a file, readable by its owner only, and rotates it.

    file: its folder is made. max_bytes: of the file. backups: how many old ones are kept.
    Refusals go to refusals.log beside it, in the same sizes.
    """

    def __init__(self, file: Path, max_bytes: int, backups: int) -> None:
        self._file = LogFile(file, max_bytes, backups)
        self._refusals_file = LogFile(file.with_name("refusals.log"), max_bytes, backups)
        self._wake = threading.Condition()  # guards the four below
        self._waiting: list[_Line] = []
        self._refusals = Refusals()
        self._refused: list[str] = []
        self._ending = False
        self._busy_since = 0.0  # time.monotonic() of a write under way, 0 for none
        self._failed_since = 0.0  # seconds since 1970 of the first line that is lost
        self._lost = 0
        self._refusals_lost = 0
        self._complained = -COMPLAIN_S
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    @property
    def is_writable(self) -> bool:
        """Whether the last line could be written, and none waits for long."""
        busy = self._busy_since
        hangs = bool(busy) and time.monotonic() - busy > WRITE_S
        return not self._failed_since and not hangs and self._thread.is_alive()

    async def begin(self, event: Event, timeout: float) -> None:
        """Have it on the disk that something is going to be changed.

        timeout: seconds that may be waited for it. Raises ApiError AUDIT where it is not; then
        nothing may be changed.
        """
        line = self._put(_line(event, BEGUN), sync=True)
        if line is not None and await _is_written(line, min(timeout, WRITE_S)):
            return
        error = ApiError(ErrorCode.AUDIT, "changes cannot be written down")
        if line is not None and not line.is_told:
            # The disk may still write it, and then this as well.
            self._put(_line(event, DONE, error, timeout), waits=False)
        raise error

    async def end(self, event: Event, error: ApiError | None, seconds: float) -> None:
        """Have it written how a change has ended. Where that fails, the service's log has it."""
        text = _line(event, DONE, error, seconds)
        line = self._put(text)
        if line is None or not await _is_written(line, WRITE_S):
            LOG.error("audit log: not written: %s", text.rstrip())

    def end_late(self, event: Event, error: ApiError | None, seconds: float) -> None:
        """The same of a change that nobody waits for any more; from any thread."""
        text = _line(event, LATE, error, seconds)
        if self._put(text, waits=False) is None:
            LOG.error("audit log: not written: %s", text.rstrip())

    def refuse(self, refusal: Refusal) -> None:
        """Have a refused request written, in a sum; returns at once."""
        with self._wake:
            line = self._refusals.add(refusal, time.time())
            if line:
                self._refused.append(line)
                self._wake.notify()

    def close(self) -> None:
        """Write what waits; a disk that does not answer is waited for a few seconds only."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            LOG.error("audit log: the last lines could not be written in %g s", CLOSE_S)

    def _put(self, text: str, sync: bool = False, waits: bool = True) -> _Line | None:
        """Hand a line over to the thread; None where too many wait, or it has ended."""
        written = asyncio.get_running_loop().create_future() if waits else None
        line = _Line(text, sync, written)
        with self._wake:
            if len(self._waiting) >= QUEUE or self._ending:
                return None
            self._waiting.append(line)
            self._wake.notify()
        return line

    def _run(self) -> None:
        """The writer's thread."""
        ending = False
        while not ending:
            with self._wake:
                self._wake.wait_for(
                    lambda: self._waiting or self._refused or self._ending, self._pause()
                )
                lines, self._waiting = self._waiting, []
                ending = self._ending
                refused, self._refused = self._refused, []
                refused.append(self._refusals.due(time.time(), all_of_them=ending))
            self._write([line for line in lines if line.is_wanted])
            self._write_refusals("".join(refused))
        self._file.close()
        self._refusals_file.close()

    def _pause(self) -> float | None:
        """Seconds until there is something to do though no line comes; None for never."""
        if self._failed_since:
            return RETRY_S
        return PERIOD_S / 10 if len(self._refusals) else None

    def _write(self, lines: list[_Line]) -> None:
        """Write lines, and tell who waits for them. After a failure, try at least to say so."""
        text = "".join(line.text for line in lines)
        if self._failed_since:
            text = self._gap() + text
        if not text:
            return
        self._busy_since = time.monotonic()
        try:
            self._file.append(text, sync=any(line.sync for line in lines))
        except OSError as error:
            self._fail(error, lines)
            _tell(lines, False)
        else:
            self._recover()
            _tell(lines, True)
        finally:
            self._busy_since = 0.0

    def _gap(self) -> str:
        """What stands in the file for the lines that could not be written."""
        since = told(self._failed_since)
        now = told(time.time())
        gap = {"time": now, "event": "lost", "lines": self._lost, "since": since}
        return json.dumps(gap) + "\n"

    def _fail(self, error: OSError, lines: list[_Line]) -> None:
        if not self._failed_since:
            self._failed_since = time.time()
            LOG.error(
                "audit log %s: cannot be written: %s: nothing may be changed until it can",
                self._file.path, error.strerror,
            )  # fmt: skip
        # The others are of changes that are not made then.
        self._lost += sum(not line.sync for line in lines)

    def _recover(self) -> None:
        if self._failed_since:
            LOG.warning("audit log: can be written again; %d lines are lost", self._lost)
            self._failed_since, self._lost = 0.0, 0

    def _write_refusals(self, text: str) -> None:
        """Refusals are no truth of anything: where they cannot be written, they are lost."""
        if text:
            try:
                self._refusals_file.append(text)
            except OSError:
                self._refusals_lost += text.count("\n")
        if self._refusals_lost and time.monotonic() - self._complained >= COMPLAIN_S:
            path = self._refusals_file.path
            LOG.error("audit log %s: %d lines are lost", path, self._refusals_lost)
            self._refusals_lost = 0
            self._complained = time.monotonic()


async def _is_written(line: _Line, timeout: float) -> bool:
    """Whether a line was written in time; if not, it need not be any more."""
    if line.written is None:
        return False
    await asyncio.wait({line.written}, timeout=max(timeout, 0.0))
    if line.written.done():
        return line.written.result()
    # What tells of something done is to be written all the same, when the disk answers.
    line.is_wanted = not line.sync
    return False


def _tell(lines: list[_Line], done: bool) -> None:
    """Tell those who wait, each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Line]] = {}
    for line in lines:
        if line.written is not None:
            by_loop.setdefault(line.written.get_loop(), []).append(line)
    for loop, theirs in by_loop.items():
        with suppress(RuntimeError):  # it has ended, and nobody waits
            loop.call_soon_threadsafe(_tell_all, theirs, done)


def _tell_all(lines: list[_Line], done: bool) -> None:
    for line in lines:
        line.tell(done)


def _line(
    event: Event, kind: str, error: ApiError | None = None, seconds: float | None = None
) -> str:
    document = {
        "time": told(time.time()),
        "event": kind,
        "log_id": event.log_id,
        "request_id": event.request_id if _REQUEST_ID.fullmatch(event.request_id) else NOT_AN_ID,
        "address": event.address if _ADDRESS.fullmatch(event.address) else NO_ADDRESS,
        "key": _id(event.key) if event.key else "",
        "app": _id(event.app),
        "path": event.path[:_LONGEST_PATH],
        "group_id": _id(event.group_id),
        "user_id": _id(event.user_id),
        "error_code": None if seconds is None else error.code if error else 0,
        "ms": None if seconds is None else round(seconds * 1000, 3),
    }
    return json.dumps(document) + "\n"


def _id(value: str | None) -> str | None:
    if value is None or _IDS.fullmatch(value):
        return value
    return NOT_AN_ID
