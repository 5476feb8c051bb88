"""Files that a command reads and writes where the operator says: never past them to others."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from library.commands.session import CommandError
from runtime import sqlite_files


class NotReadableError(Exception):
    """A file that is not read. reason: symlink, not_a_file, too_large or unreadable."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_regular(path: Path, most: int, follow: bool = False) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Never waits for the other end of a pipe, nor for a device. follow: also through a symbolic
    link. Raises NotReadableError.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        sqlite_files.refuse(path)
        descriptor = os.open(path, flags)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise NotReadableError("not_a_file", kind_of(mode))
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read(most + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotReadableError("symlink", "links are not followed") from None
        if error.errno == errno.ENXIO:
            raise NotReadableError("not_a_file", "a socket") from None
        raise NotReadableError("unreadable", str(error.strerror)) from None
    if len(content) > most:
        raise NotReadableError("too_large", f"more than {most} bytes, which the service takes")
    return content


def kind_of(mode: int) -> str:
    """What a file is that is no regular one; mode: st_mode."""
    kinds = (
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISLNK, "a link"),
    )
    return next((name for is_kind, name in kinds if is_kind(mode)), "no file")


@contextmanager
def whole_file(path: Path, synced: bool = True) -> Iterator[IO[Any]]:
    """A new file that takes the place of `path` when it is complete; for its owner only.

    Binary. synced: on the disk, too. Raises OSError, also for a database in use.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sqlite_files.refuse(path)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        # A link that somebody has put there meanwhile is not followed.
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            if synced:
                os.fsync(descriptor)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears complete. Raises CommandError."""
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}") from None
