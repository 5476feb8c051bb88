"""The machine as the check sees it: files, programs, disks, the clock. Nothing else touches it.

Tests give a recorded machine in its place. No call waits for longer than `PATIENCE_S`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol, TypeVar

T = TypeVar("T")

# Seconds for one program, one disk, one server.
PATIENCE_S = 5.0
# Of a file or of a program's output; the longest that matters is a ruleset of a firewall.
MOST_BYTES = 4 << 20
# Programs of administrators are not on everybody's PATH.
_ADMIN_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_SYNCS, _SYNC_BYTES = 5, 4096
# adjtimex(2): where the kernel's struct timex of 64 bits has these, and the bit of a free clock.
_TIMEX_BYTES, _MAX_ERROR_AT, _STATUS_AT, _STA_UNSYNC = 208, 24, 40, 0x40


class HangsError(Exception):
    """Something gave no answer in time; the text says what."""


@dataclass(frozen=True)
class Answer:
    """What a program answered. status: None where it is not installed or may not be run."""

    status: int | None
    out: str = ""
    error: str = ""

    @property
    def is_missing(self) -> bool:
        return self.status is None

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def said(self) -> str:
        """The first line of what it said, of its complaints where it said nothing."""
        lines = [line.strip() for line in f"{self.out}\n{self.error}".splitlines()]
        return next((line for line in lines if line), "nothing")


@dataclass(frozen=True)
class Space:
    """Of a file system. Bytes that an unprivileged user may still write; inodes, 0 for no limit."""

    total: int
    free: int
    inodes: int
    inodes_free: int


@dataclass(frozen=True)
class Clock:
    """is_synchronised: as the kernel was told. max_error_s: its bound of the error."""

    is_synchronised: bool
    max_error_s: float


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs the check. makes_environments: whether its venv has all it needs."""

    version: str
    path: str
    makes_environments: bool


class Machine(Protocol):
    """What probes may ask. Whatever is not there, or not for this user, is None or empty.

    Every call may raise HangsError.
    """

    def read(self, path: str) -> str | None:
        """A file's text, its last `MOST_BYTES` bytes."""

    def entries(self, path: str) -> tuple[str, ...]:
        """The names in a folder."""

    def link(self, path: str) -> str | None:
        """Where a symbolic link leads, through all others on the way where it is a path."""

    def run(self, *command: str) -> Answer:
        """A program's answer, in the language C."""

    def space(self, path: str) -> Space | None:
        """Of the file system of an existing file or folder."""

    def sync_ms(self, folder: str) -> float | None:
        """Median of how long a small write takes until it is on the disk, in milliseconds."""

    def clock(self) -> Clock | None:
        """How the kernel's clock does."""

    def architecture(self) -> str:
        """As uname says it."""

    def kernel(self) -> str:
        """Its release, as uname says it."""

    def interpreter(self) -> Interpreter:
        """This Python."""

    def environment(self, name: str) -> str:
        """A variable; empty where it is not set."""


def within(what: str, call: Callable[[], T], seconds: float = PATIENCE_S) -> T:
    """What a call returns or raises. Raises HangsError where it takes longer; it goes on then."""
    done: list[T] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(call())
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failed.append(error)

    thread = threading.Thread(target=work, name=f"check {what}", daemon=True)
    thread.start()
    thread.join(seconds)
    if done:
        return done[0]
    if failed:
        raise failed[0]
    raise HangsError(f"{what} gave no answer within {seconds:g} s")


class ThisMachine:
    """The machine that the check runs on."""

    def __init__(self, patience_s: float = PATIENCE_S, variables: Mapping[str, str] | None = None):
        """variables: of programs, in place of this process's."""
        self._patience_s = patience_s
        self._variables = os.environ if variables is None else variables

    def read(self, path: str) -> str | None:
        def read() -> str | None:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                # Files of /proc have no size, and nothing can be skipped in them.
                size = os.fstat(file.fileno()).st_size
                if size > MOST_BYTES:
                    file.seek(size - MOST_BYTES)
                return file.read(MOST_BYTES).decode("utf-8", "replace")
            return None

        return within(f"reading {path}", read, self._patience_s)

    def entries(self, path: str) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(path)))
        except OSError:
            return ()

    def link(self, path: str) -> str | None:
        try:
            target = os.readlink(path)
            # Such as socket:[31337] in /proc.
            return target if ":[" in target else os.path.realpath(path)
        except OSError:  # also of a process that ends meanwhile
            return None

    def run(self, *command: str) -> Answer:
        variables = {**self._variables, "LC_ALL": "C", "LANGUAGE": "C"}
        path = variables.get("PATH", os.defpath)
        variables["PATH"] = os.pathsep.join((path, *_ADMIN_PATH))
        # Files, not pipes: whoever holds an end of a pipe would be waited for.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
            try:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=out, stderr=error, env=variables,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as problem:
                return Answer(None, error=str(problem.strerror))
            self._wait(process, command[0])
            return Answer(process.returncode, _text(out.fileno()), _text(error.fileno()))

    def _wait(self, process: subprocess.Popen[bytes], name: str) -> None:
        try:
            process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # A program that hangs in a driver cannot even be killed: it is left where it is.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
            raise HangsError(f"{name} gave no answer within {self._patience_s:g} s") from None

    def space(self, path: str) -> Space | None:
        def ask() -> Space | None:
            try:
                found = os.statvfs(path)
            except OSError:
                return None
            return Space(
                found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize,
                found.f_files, found.f_favail,
            )  # fmt: skip

        return within(f"the file system of {path}", ask, self._patience_s)

    def sync_ms(self, folder: str) -> float | None:
        def write() -> float | None:
            try:
                with tempfile.TemporaryFile(dir=folder, prefix=".check-", buffering=0) as file:
                    return statistics.median(_sync_ms(file.fileno()) for _ in range(_SYNCS))
            except OSError:
                return None

        return within(f"a write in {folder}", write, self._patience_s)

    def clock(self) -> Clock | None:
        asked = ctypes.create_string_buffer(_TIMEX_BYTES)
        try:
            if ctypes.CDLL(None).adjtimex(asked) < 0:
                return None
        except (OSError, AttributeError):
            return None
        (error_us,) = struct.unpack_from("q", asked, _MAX_ERROR_AT)
        (status,) = struct.unpack_from("i", asked, _STATUS_AT)
        return Clock(not status & _STA_UNSYNC, error_us / 1e6)

    def architecture(self) -> str:
        return platform.machine()

    def kernel(self) -> str:
        return platform.release()

    def interpreter(self) -> Interpreter:
        # Debian keeps what venv needs in a package of its own.
        whole = find_spec("venv") is not None and find_spec("ensurepip") is not None
        return Interpreter(platform.python_version(), sys.executable, whole)

    def environment(self, name: str) -> str:
        return self._variables.get(name, "")


def _text(descriptor: int) -> str:
    return os.pread(descriptor, MOST_BYTES, 0).decode("utf-8", "replace")


def _sync_ms(descriptor: int) -> float:
    begun = time.perf_counter()
    os.write(descriptor, bytes(_SYNC_BYTES))
    os.fsync(descriptor)
    return (time.perf_counter() - begun) * 1000
