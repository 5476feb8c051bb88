"""A watch over processes: whether one opens a database that SQLite has open there.

Closing any descriptor of a file ends all POSIX locks that the process has on it (fcntl(2)), those
of SQLite, too. Python tells of every file that is opened (PEP 578): a module that every process of
a test imports at its start notes each of a database's files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_CUSTOMIZE = """
import os
import sys
import traceback

_NAMES = os.environ["WATCHED_FILES"].split(os.pathsep)
_BUSY = []


def _identity(path):
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _watched():
    for name in _NAMES:
        for suffix in ("", "-wal", "-shm", "-journal"):
            try:
                yield _identity(name + suffix)
            except OSError:
                continue


def _hook(event, arguments):
    if event != "open" or _BUSY or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    _BUSY.append(True)
    try:
        if _identity(arguments[0]) in set(_watched()):
            lines = "".join(traceback.format_stack(limit=6))
            note = os.open(os.environ["WATCHED_NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(note, f"{sys.argv}: {arguments}\\n{lines}\\n".encode())
            os.close(note)
    except OSError:
        pass
    finally:
        _BUSY.pop()


sys.addaudithook(_hook)
"""


class Watch:
    """Over processes that are started with `environment`."""

    def __init__(self, folder: Path, files: Sequence[Path], root: Path) -> None:
        (folder / "sitecustomize.py").write_text(_CUSTOMIZE)
        self._notes = folder / "opened.txt"
        self.environment = {
            "PYTHONPATH": os.pathsep.join([str(folder), str(root)]),
            "WATCHED_FILES": os.pathsep.join(map(str, files)),
            "WATCHED_NOTES": str(self._notes),
        }

    def opened(self) -> str:
        """Who has opened one of the files, past SQLite; empty for nobody."""
        return self._notes.read_text() if self._notes.exists() else ""
