"""A decoder process as its parent sees it: started when needed, killed when in the way."""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from ops.errors import ErrorKind, ServiceError
from ops.pictures.decoder_process import ANSWER, PICTURE_CPU_S, REQUEST
from ops.pictures.headers.header import PictureHeader
from ops.pictures.picture import NO_MEMORY, reduced_size
from runtime.process import child_environment

_LOGGER = logging.getLogger(__name__)
_POLL_MS = 50  # how long it may take until a request that was given up is noticed
# What a picture does to its decoder; otherwise that was killed, or could not start.
_CRASHES = tuple(
    -number
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
)
_KINDS = {kind.code: kind for kind in ErrorKind}


class GaveUpError(Exception):
    """Nobody waits for the picture any more."""


class Decoder:
    """One process; for one thread, which has to live as long as the process may.

    The kernel ends a process with the thread that started it (see `die_with_parent`).
    """

    def __init__(self, memory: int) -> None:
        """memory: bytes that the process may take for any picture, see `memory_for`."""
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def decode(
        self, data: bytes, header: PictureHeader, reduction: int, wanted: Callable[[], bool]
    ) -> np.ndarray:
        """As `ops.pictures.picture.pixels_of`, in memory that is shared with the process.

        wanted: asked again and again; the process is killed when it says no.
        Raises ServiceError: as `pixels_of`; PICTURE_TOO_COMPLEX where it takes too long; BUSY
        where the process was killed or cannot be started. GaveUpError: it is not wanted.
        """
        width, height = reduced_size(header, reduction)
        source = target = -1
        try:
            source = _memory(data)
            target = _memory(b"", width * height * 3)
            answer = self._ask(REQUEST.pack(len(data), reduction), [source, target], wanted)
            return _pixels(target, answer, width * height)
        except OSError as error:
            self.close()
            _LOGGER.warning("a decoder failed: %s", error.strerror)
            raise ServiceError(ErrorKind.BUSY, NO_MEMORY) from None
        finally:
            for descriptor in (source, target):
                if descriptor >= 0:
                    os.close(descriptor)

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None

    def _ask(self, request: bytes, descriptors: list[int], wanted: Callable[[], bool]) -> bytes:
        """The answer's bytes."""
        if self._process is None:
            self._start()
        assert self._socket is not None  # noqa: S101 - `_start` has made it
        try:
            socket.send_fds(self._socket, [request], descriptors)
        except BrokenPipeError:
            # It was killed since the last picture.
            self.close()
            return self._ask(request, descriptors, wanted)
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        while not waiting.poll(_POLL_MS):
            if not wanted():
                self.close()
                raise GaveUpError
        try:
            answer = self._socket.recv(ANSWER.size)
        except ConnectionResetError:
            answer = b""
        if len(answer) != ANSWER.size:
            raise self._death()
        return answer

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        # Each of its threads would take memory at start.
        environment = {**child_environment(), "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            # With these settings no copy of this process is made, which is large and has threads.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ops.pictures.decoder_process", str(self._memory)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Libraries write a line for every damaged picture.
                stderr=subprocess.DEVNULL,
                env=environment,
                close_fds=False,
                restore_signals=False,
            )

    def _death(self) -> ServiceError:
        """What a client is told when the process ended in the middle of its picture."""
        assert self._process is not None  # noqa: S101 - it was asked
        status = self._process.wait()
        self.close()
        if status == -signal.SIGXCPU:
            detail = f"More than {PICTURE_CPU_S} s of processor time."
            return ServiceError(ErrorKind.PICTURE_TOO_COMPLEX, detail)
        _LOGGER.warning("a decoder ended with status %d", status)
        if status in _CRASHES:
            return ServiceError(ErrorKind.BROKEN_PICTURE)
        return ServiceError(ErrorKind.BUSY, "Its decoder was ended.")


def _memory(content: bytes, size: int = 0) -> int:
    """A descriptor of memory that can be shared, with `content` or of `size` bytes."""
    descriptor = os.memfd_create("picture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        written = 0
        while written < len(content):
            written += os.write(descriptor, memoryview(content)[written:])
        if size:
            os.ftruncate(descriptor, size)
        # Whoever shortened it would end the other process with SIGBUS.
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _pixels(target: int, answer: bytes, expected: int) -> np.ndarray:
    """(H, W, 3) uint8 over the shared memory. Raises ServiceError for an answer that is one."""
    code, height, width = ANSWER.unpack(answer)
    if code:
        detail = NO_MEMORY if code == ErrorKind.BUSY.code else ""
        raise ServiceError(_KINDS[code], detail)
    if height * width != expected:
        raise ServiceError(ErrorKind.BROKEN_PICTURE)
    memory = mmap.mmap(target, height * width * 3)
    return np.frombuffer(memory, np.uint8).reshape(height, width, 3)
