"""Connections to Milvus: a server by URL, or Milvus Lite, which is a process of this one on a file.

Indexes of one process share a connection to the same place. It is made at the first call, and
made again after it was lost, so that a server that was away is used again once it is back.
"""

from __future__ import annotations

import fcntl
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

import grpc
from pymilvus import MilvusException, Status, connections
from pymilvus.exceptions import ConnectionNotExistException

from library.errors import IndexLostError, IndexUnavailableError

T = TypeVar("T")

# For one request; a batch or a search takes milliseconds. pymilvus repeats what fails at once, four
# times within half a second, unless `timeout` is an int: then it goes on for that long.
REQUEST: dict[str, Any] = {"timeout": 10.0, "retry_times": 4}
CONNECT_S = 3  # an int, so that a server that is just starting is not waited for for minutes
# After a failed attempt calls fail at once for so long, instead of each trying by itself.
PAUSE_S = 1.0
WORKERS = 2
START_ATTEMPTS = 3  # of Milvus Lite

# Codes of Milvus 2.3 and later (pkg/merr): the same from the server and from Lite.
_NOT_FOUND, _NOT_LOADED = 100, 101
# What Lite takes as a file's name; it refuses others with a bare RuntimeError.
_LITE_NAME = re.compile(r"[A-Za-z0-9._-]{1,33}\.db")

# What it logs as errors is raised as well, and is handled or reported where it is caught.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


class CollectionNotLoadedError(IndexUnavailableError):
    """The collection is there, but not ready to be searched."""


class MilvusConnection:
    """A connection that is made when needed, shared by all that were opened for the same place.

    place: ``http[s]://HOST:PORT`` of a server, or the path of Milvus Lite's file.
    alias: what pymilvus knows the connection by.
    is_lite: whether it is Milvus Lite, which has fewer kinds of index and one process at a time.
    workers: for what need not be waited for.
    """

    _shared: dict[tuple[str, str], MilvusConnection] = {}  # noqa: RUF012 - mypy knows it as it is
    _sharing = threading.Lock()

    def __init__(self, place: str, token: str) -> None:
        self.is_lite = "://" not in place
        self.place = str(Path(place).resolve()) if self.is_lite else place
        self.alias = f"library-{uuid.uuid4().hex}"
        self.workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="milvus")
        self._token = token
        self._users = 0
        self._lite: _LiteProcess | None = None
        self._connected = False
        self._number = 0  # of connections made so far
        self._connecting = threading.Lock()
        self._refused_until = 0.0
        self._refusal = ""

    @classmethod
    def open(cls, place: str, token: str = "") -> MilvusConnection:
        """The process's connection to a place; every ``open`` takes a ``close``."""
        made = cls(place, token)
        key = (made.place, "" if made.is_lite else token)
        with cls._sharing:
            connection = cls._shared.setdefault(key, made)
            connection._users += 1  # noqa: SLF001 - of this class
        return connection

    def close(self) -> None:
        """Let go of it; the last one closes it."""
        with self._sharing:
            self._users -= 1
            if self._users > 0:
                return
            for key in [key for key, value in self._shared.items() if value is self]:
                del self._shared[key]
        self.workers.shutdown()
        with self._connecting:
            self._disconnect()

    def call(self, request: Callable[[], T]) -> T:
        """The result of a request, connected first where necessary.

        A request that finds the connection lost is made once more on a new one, so it must be one
        that can be repeated.

        Raises IndexUnavailableError, and IndexLostError where the collection is gone.
        """
        try:
            return self._attempt(request)
        except _LostError:
            return self._attempt(request)

    def _attempt(self, request: Callable[[], T]) -> T:
        number = self._connect()
        try:
            return _translated(request)
        except _LostError:
            with self._connecting:
                if number == self._number:  # else another thread has made a new one already
                    self._disconnect()
            raise

    def _connect(self) -> int:
        """The number of the connection that there is then."""
        with self._connecting:
            if self._connected:
                return self._number
            if self._users < 1:
                raise _unavailable("It has been closed.")
            if time.monotonic() < self._refused_until:
                raise _unavailable(self._refusal)
            try:
                _translated(self._open)
            except IndexUnavailableError as error:
                self._disconnect()
                self._refused_until = time.monotonic() + PAUSE_S
                self._refusal = error.detail
                raise _unavailable(error.detail) from error
            self._connected = True
            self._number += 1
            return self._number

    def _open(self) -> None:
        address = self.place
        if self.is_lite:
            self._lite = _LiteProcess(Path(self.place))
            address = self._lite.address
        connections.connect(self.alias, uri=address, token=self._token, timeout=CONNECT_S)

    def _disconnect(self) -> None:
        self._connected = False
        connections.remove_connection(self.alias)
        if self._lite is not None:
            self._lite.stop()
            self._lite = None


class _LiteProcess:
    """Milvus Lite on a file. One process at a time may have it.

    The lock is this class's own: Lite removes its lock's file when it finds it taken, and lets the
    next one in, to write into the same file.
    """

    def __init__(self, file: Path) -> None:
        if not _LITE_NAME.fullmatch(file.name):
            raise _unavailable(
                f"The name of Milvus Lite's file is to be at most 36 letters, digits and ._-, "
                f"with .db at its end, and is {file.name}."
            )
        if file.is_dir():
            raise _unavailable(f"{file} is to be a file for Milvus Lite, and is a directory.")
        lite = _lite(file)
        self._lock = _locked(file.with_name(f".{file.name}.owner"), file)
        self._server = lite(str(file))
        if not self._started():
            self.stop()
            raise _unavailable(f"Milvus Lite cannot use {file}; is it a file of another kind?")
        self.address = str(self._server.uds_path)

    def _started(self) -> bool:
        # Lite of a process that was killed may take a moment to end.
        for _ in range(START_ATTEMPTS):
            if self._server.init() and self._server.start():
                return True
            self._server.stop()
            time.sleep(0.2)
        return False

    def stop(self) -> None:
        # By itself it would end once its lock is free: later, and with a line on standard error.
        # What it has acknowledged is in its file.
        process = self._server._p  # noqa: SLF001 - it has no other handle on its process
        if process is not None:
            process.terminate()
            process.wait()
        self._server.stop()
        self._lock.close()


def _locked(lock_file: Path, file: Path) -> IO[str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = lock_file.open("a")
    except OSError as error:
        raise _unavailable(f"{file.parent} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise _unavailable(
            f"Another process has {file} open, and Milvus Lite serves one process at a time; "
            "several need a Milvus server."
        ) from error
    return lock


class _LostError(IndexUnavailableError):
    """There is no connection any more."""


def _translated(request: Callable[[], T]) -> T:
    """The result of a request; pymilvus's and gRPC's errors become the library's."""
    try:
        return request()
    except grpc.RpcError as error:
        raise _from_status(error.code(), error.details()) from error
    except grpc.FutureTimeoutError as error:
        raise _from_status(grpc.StatusCode.DEADLINE_EXCEEDED, "") from error
    except ConnectionNotExistException as error:  # another thread has just given it up
        raise _LostError("index_unavailable", "Milvus cannot be reached.") from error
    except MilvusException as error:
        if callable(error.code):  # pymilvus puts the method of gRPC's error there
            raise _from_status(error.code(), error.message) from error
        raise _from_code(error.code, error.message) from error


def _from_status(status: grpc.StatusCode, text: str | None) -> IndexUnavailableError:
    if status == grpc.StatusCode.UNAVAILABLE:
        return _LostError("index_unavailable", "Milvus cannot be reached.")
    if status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return _unavailable("Milvus refuses the token; correct milvus_token.")
    if status == grpc.StatusCode.DEADLINE_EXCEEDED:
        return _unavailable("Milvus does not answer in time.")
    return _unavailable(f"Milvus answers: {_short(text)}.")


def _from_code(code: int, text: str | None) -> IndexUnavailableError:
    if code == _NOT_FOUND:
        return IndexLostError("index_lost", "A collection is gone from Milvus.")
    if code == _NOT_LOADED:
        return CollectionNotLoadedError("index_unavailable", "Milvus has yet to load it.")
    if code == Status.CONNECT_FAILED:
        return _unavailable("Milvus cannot be reached.")
    return _unavailable(f"Milvus answers: {_short(text)}.")


def _short(text: str | None) -> str:
    line = " ".join((text or "nothing").split()).rstrip(".")
    return line if len(line) <= 300 else f"{line[:300]}..."


def _lite(file: Path) -> type[Any]:
    """Milvus Lite's server, which is a large package and only needed for a file."""
    try:
        from milvus_lite.server import Server
    except ImportError:
        # An image of the service has the client for servers alone.
        raise _unavailable(
            f"Milvus Lite is not installed here: a server's URL is needed in place of {file}."
        ) from None
    server: type[Any] = Server
    return server


def _unavailable(detail: str) -> IndexUnavailableError:
    return IndexUnavailableError("index_unavailable", detail)
