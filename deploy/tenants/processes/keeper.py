"""Keeps one tenant's service running.

It starts the service within the tenant's limits, starts it again when it ends or has taken more
memory than it may, rotates what it prints, and tells how it is in a file. SIGTERM ends both. The
service dies with it, so that nothing runs that nobody keeps.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import signal
import threading
import time

import psutil

from deploy.tenants.processes.cgroups import Group, make_group
from deploy.tenants.processes.kept import Kept
from deploy.tenants.processes.state import (
    DOWN,
    FAILED,
    LOCKED,
    READY,
    STARTING,
    WAITING,
    State,
    write_state,
)
from runtime.child import Child, Program
from runtime.data_lock import DataLock
from runtime.process import child_environment

_POLL_S = 0.1
_LOOK_S = 1.0
# Longer than any request may take, which a clean end waits for.
_END_S = 60.0
_SETTINGS_WRONG = 2
# Where the keeper before was killed, its service may not be gone yet, and has the data and the
# ports: the new one, which says so and ends as for wrong settings, is tried again so often.
_TRIES = 4
# Without a group each process may ask for the tenant's memory and so much of what it never
# touches, such as threads' stacks. What all of them touch together is looked at once a second.
_UNTOUCHED_BYTES = 2 << 30


class Keeper:
    """Runs a service until SIGTERM."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._group = Group()
        self._child: Child
        self._state = State(STARTING, since=time.time())
        self._stop = threading.Event()
        self._served = threading.Event()
        self._kills = 0
        self._tries = 0
        self._has_served = False
        self._looked = 0.0
        self._cpu: tuple[float, float] = (0.0, 0.0)
        self._logger = _log_of(kept)
        self._own_output = os.dup(2)

    def run(self) -> int:
        """Keep it; 0 after SIGTERM, 2 for a service that cannot be started.

        Raises ConfigError where another process keeps it.
        """
        kept = self._kept
        lock = DataLock([kept.folder / LOCKED])
        self._tries = _TRIES if lock.take() else 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        if kept.group:
            self._group = make_group(kept.group, kept.limits)
        # What another keeper that was killed may have left behind.
        self._group.kill()
        self._kills = self._group.kills()
        self._state.limits = self._group.in_words()
        self._child = Child(Program("service", "deploy.tenants.processes.enter", self._arguments()))
        try:
            self._start()
            while not self._stop.wait(_POLL_S):
                if not self._look():
                    return _SETTINGS_WRONG
            return 0
        finally:
            self._end()
            lock.release()

    def _arguments(self) -> tuple[str, ...]:
        memory = None if self._group.memory else self._kept.limits.memory + _UNTOUCHED_BYTES
        order = {
            "join": [str(folder) for folder in self._group.folders],
            "cores": list(self._kept.cores),
            "data_bytes": memory,
        }
        return (json.dumps(order), *self._kept.command)

    def _start(self) -> None:
        self._served = threading.Event()
        reading, writing = os.pipe()
        # The child prints where this process does at the moment it is started.
        _print_to(writing)
        self._child.start({**child_environment(), **self._kept.environment}, ())
        os.close(writing)
        _print_to(self._own_output)
        threading.Thread(target=self._read, args=(reading, self._served), daemon=True).start()
        self._tell(STARTING)

    def _read(self, pipe: int, served: threading.Event) -> None:
        with os.fdopen(pipe, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self._logger.info("%s", line.rstrip("\n"))
                if line.startswith("ready"):
                    served.set()

    def _look(self) -> bool:
        """Look after the service; False where it cannot be started at all."""
        status = self._child.ended()
        if status is not None:
            return self._bury(status)
        if self._child.next_start is not None:
            if time.monotonic() >= self._child.next_start:
                self._start()
            return True
        if self._served.is_set() and self._state.state == STARTING:
            self._child.ready = self._has_served = True
            self._tell(READY)
        if time.monotonic() - self._looked >= _LOOK_S:
            self._measure()
        return True

    def _bury(self, status: int) -> bool:
        self._group.kill()
        if status == _SETTINGS_WRONG and not self._has_served and not self._tries:
            self._state.reason = self._state.reason or "its settings cannot be used; see its log"
            self._tell(FAILED)
            return False
        self._tries = max(self._tries - 1, 0)
        reason = "" if self._child.killed else f"ended with status {status}"
        if self._group.kills() > self._kills:
            reason = self._over_memory()
        self._state.reason = reason or self._state.reason
        self._state.restarts += 1
        seconds = self._child.delay()
        self._logger.info("keeper: %s; started again in %.0f s", self._state.reason, seconds)
        self._kills = self._group.kills()
        self._tell(WAITING)
        return True

    def _over_memory(self) -> str:
        return f"took more than its memory of {self._kept.limits.memory >> 20} MiB"

    def _measure(self) -> None:
        """Note memory and processor time; kill what has more memory than it may."""
        self._looked = time.monotonic()
        resident, seconds = _of_tree(self._child.process.pid if self._child.process else 0)
        counted = self._group.used_bytes()
        then, before = self._cpu
        self._cpu = self._looked, seconds
        self._state.cpu = round(max(seconds - before, 0.0) / max(self._looked - then, 0.1), 2)
        self._state.memory = resident if counted is None else counted
        over = counted is None and resident > self._kept.limits.memory
        if over or self._group.kills() > self._kills:
            self._state.reason = self._over_memory()
            self._child.kill()
        self._tell(self._state.state)

    def _tell(self, state: str) -> None:
        if state != self._state.state:
            self._state.since = time.time()
        process = self._child.process
        self._state.state = state
        alive = process is not None and process.poll() is None
        self._state.pid = process.pid if process is not None and alive else 0
        write_state(self._kept.folder, self._state)

    def _end(self) -> None:
        self._child.end()
        self._child.wait(_END_S)
        self._group.kill()
        self._group.remove()
        if self._state.state != FAILED:
            self._state.memory, self._state.cpu = 0, 0.0
            self._tell(DOWN)
        logging.shutdown()


def _print_to(descriptor: int) -> None:
    for standard in (1, 2):
        os.dup2(descriptor, standard)


def _log_of(kept: Kept) -> logging.Logger:
    """A logger to the rotated file."""
    handler = logging.handlers.RotatingFileHandler(
        kept.log, maxBytes=kept.log_bytes, backupCount=kept.log_files, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.Logger("keeper", logging.INFO)
    logger.addHandler(handler)
    return logger


def _of_tree(pid: int) -> tuple[int, float]:
    """Resident bytes and seconds of processor time of a process and all below it.

    Pages that several of them share count once for each: rather too much than too little.
    """
    resident, seconds = 0, 0.0
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(pid)
        for one in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.Error), one.oneshot():
                resident += one.memory_info().rss
                times = one.cpu_times()
                seconds += times.user + times.system
    return resident, seconds
