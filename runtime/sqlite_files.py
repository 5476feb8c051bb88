"""SQLite's files in this process: made without being opened, and never opened past SQLite.

Closing any descriptor of a file ends all POSIX locks that the process has on it, also those that
were taken through other descriptors (fcntl(2); https://www.sqlite.org/howtocorrupt.html, 2.2). A
database that SQLite believes to have locked is then free for the taking: the next process that
ends deletes the write-ahead log in use, and what is written from then on is lost.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

from runtime.file_identity import identity

# What SQLite puts beside a database, and the database itself.
_SUFFIXES = ("", "-wal", "-shm", "-journal")
_FILES: set[str] = set()
_CHANGING = threading.Lock()


def make(file: Path) -> None:
    """Make an empty file that its owner alone may read, unless it is there. Raises OSError.

    Several processes may do so at once. SQLite's other files take over the file's mode.
    """
    with suppress(FileExistsError):
        os.mknod(os.path.realpath(file), stat.S_IFREG | 0o600)


def note(file: Path) -> None:
    """Note that this process uses a file as a database, from now to its end."""
    with _CHANGING:
        _FILES.add(str(file))


def is_live(path: Path) -> bool:
    """Whether a path is such a database, or what SQLite has beside one; also by another name."""
    wanted = _found(str(path))
    with _CHANGING:
        names = [f"{file}{suffix}" for file in _FILES for suffix in _SUFFIXES]
    if wanted is None:
        return os.path.realpath(path) in map(os.path.realpath, names)
    return any(wanted == _found(name) for name in names)


def refuse(path: Path) -> None:
    """Raise OSError for a path that `is_live`; to be called before a path of a user is opened."""
    if is_live(path):
        raise OSError(errno.EBUSY, "it is the database in use", str(path))


def _found(name: str) -> tuple[int, int] | None:
    try:
        return identity(name)
    except OSError:
        return None
