"""HTTP downloads: resumed after an interruption, bounded, checked, and put in place at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from convert.errors import ConvertError, IntegrityError, MissingError, UnreachableError
from convert.model_directory import file_sha256
from convert.terminal import CONSOLE

CONNECT_TIMEOUT = 5.0  # seconds, for the name look-up and for the connection each
READ_TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3  # connections that break half-way are taken up again


class _InterruptedError(Exception):
    """The connection broke after it had been made."""


def download(url: str, path: Path, *, max_size: int, sha256: str | None = None) -> None:
    """Fetch ``url`` into ``path``; ``path`` appears only when complete and checked.

    What has come is kept in ``path.part`` and completed by the next call.
    max_size: bytes; sha256: of the whole, None for a file that nobody has published one for.

    Raises UnreachableError where the host gives no answer, MissingError where it answers without
    the file, and IntegrityError for another digest or a longer file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _exclusive(part):
        if path.is_file() and sha256 in (None, file_sha256(path)):
            return
        _check_host(url)
        resumed = part.stat().st_size > 0
        _fetch_into(url, part, max_size, sha256 is not None)
        try:
            _check_digest(url, part, sha256)
        except IntegrityError:
            _forget(part)
            if not resumed:
                raise
            # The first half may have been of another file: once more, from the start.
            part.touch()
            _fetch_into(url, part, max_size, True)
            _check_digest(url, part, sha256)
        part.replace(path)
        _validator_file(part).unlink(missing_ok=True)


@contextlib.contextmanager
def _exclusive(part: Path) -> Iterator[None]:
    """Only one process writes to ``part`` at a time; another one waits for it."""
    with part.with_name(f"{part.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        part.touch()
        yield


def _fetch_into(url: str, part: Path, max_size: int, pinned: bool) -> None:
    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(timeout=timeout, follow_redirects=True))
        progress = stack.enter_context(Progress(*columns, console=CONSOLE, transient=True))
        bar = progress.add_task(urlsplit(url).path.rsplit("/", 1)[-1], total=None)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for done, total in _stream(client, url, part, max_size, pinned):
                    progress.update(bar, completed=done, total=total)
                return
            except _InterruptedError as error:
                if attempt == ATTEMPTS:
                    raise UnreachableError(
                        f"{url}: the connection broke {ATTEMPTS} times ({error}); "
                        "run this again to go on from where it stopped"
                    ) from error
                time.sleep(0.5 * attempt)


def _stream(
    client: httpx.Client, url: str, part: Path, max_size: int, pinned: bool
) -> Iterator[tuple[int, int | None]]:
    """Append to ``part`` what is missing; yields the bytes so far and the total if known."""
    headers = _resume_headers(part, pinned)
    try:
        with client.stream("GET", url, headers=headers) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                _forget(part)
                raise _InterruptedError("the rest asked for is not there")
            if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
                raise MissingError(f"{url} answers {response.status_code}")
            resuming = response.status_code == httpx.codes.PARTIAL_CONTENT
            start = part.stat().st_size if resuming else 0
            length = response.headers.get("content-length")
            total = start + int(length) if length is not None else None
            _check_limit(url, total or 0, max_size)
            _remember_validator(part, response)
            with part.open("ab" if resuming else "wb") as file:
                for done in _write_chunks(response, file, start):
                    _check_limit(url, done, max_size)
                    yield done, total
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise UnreachableError(f"{urlsplit(url).hostname} cannot be reached: {error}") from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise _InterruptedError(str(error) or type(error).__name__) from error
    except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
        raise UnreachableError(f"{url}: {error}") from error


def _write_chunks(response: httpx.Response, file: IO[bytes], done: int) -> Iterator[int]:
    # The raw bytes: Content-Length counts them, and archives are not compressed once more.
    for chunk in response.iter_raw():
        file.write(chunk)
        done += len(chunk)
        yield done


def _resume_headers(part: Path, pinned: bool) -> dict[str, str]:
    """Headers that ask for the rest only; of an unpinned file only if it is still the same."""
    headers = {"Accept-Encoding": "identity"}
    size = part.stat().st_size if part.exists() else 0
    if size == 0:
        return headers
    try:
        validator = json.loads(_validator_file(part).read_text())["validator"]
    except (OSError, ValueError, KeyError):
        validator = None
    if validator is not None:
        headers["If-Range"] = validator
    elif not pinned:
        return headers
    headers["Range"] = f"bytes={size}-"
    return headers


def _remember_validator(part: Path, response: httpx.Response) -> None:
    tag = response.headers.get("etag")
    if tag is not None and tag.startswith("W/"):
        tag = None  # a weak tag does not promise equal bytes
    validator = tag or response.headers.get("last-modified")
    if validator is not None:
        _validator_file(part).write_text(json.dumps({"validator": validator}))


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _check_limit(url: str, size: int, max_size: int) -> None:
    if size > max_size:
        raise IntegrityError(f"{url} is larger than the {max_size} bytes that were expected")


def _check_digest(url: str, part: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    actual = file_sha256(part)
    if actual != sha256:
        raise IntegrityError(f"{url}: expected sha256 {sha256}, got {actual}")


def _check_host(url: str) -> None:
    """Look the host's name up, for no longer than the connect time-out.

    httpx bounds the connection but not the look-up, and a resolver without a network may take
    half a minute to say so.
    """
    parts = urlsplit(url)
    host = parts.hostname
    if not host:
        raise ConvertError(f"{url} names no host")
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return  # the proxy looks it up
    failures: list[OSError] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, parts.port or 443)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT)
    if thread.is_alive():
        raise UnreachableError(f"{host} cannot be reached: the name look-up takes too long")
    if failures:
        raise UnreachableError(f"{host} cannot be reached: {failures[0].strerror}")
