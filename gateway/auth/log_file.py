"""A file of whole lines: appended to in one piece, rotated by size, readable by its owner only."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.file_identity import identity


class LogFile:
    """For one thread. It is opened when it is used, and anew after an error.

    max_bytes: of the file; a single text may be longer. backups: how many old ones are kept, as
    NAME.1 (the newest) and so on.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor: int | None = None

    def append(self, text: str, sync: bool = False) -> None:
        """Have the system write lines, each ended by a newline. Raises OSError.

        sync: also have them on the disk when this returns, so that a power cut leaves them.
        """
        data = text.encode("utf-8")
        try:
            descriptor = self._open()
            size = os.fstat(descriptor).st_size
            if size and size + len(data) > self._max_bytes:
                self.close()
                self._rotate()
                descriptor = self._open()
            while data:
                data = data[os.write(descriptor, data) :]
            if sync:
                os.fdatasync(descriptor)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _open(self) -> int:
        # A file that was moved or deleted would take lines that nobody will find.
        if self._descriptor is not None and identity(self._descriptor) == identity(self.path):
            return self._descriptor
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        # Not blocking: what is no file but a pipe that nobody reads is an error, and no wait.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self.path, flags, 0o600)
        if is_new:
            _sync_folder(self.path.parent)
        elif os.path.isfile(self.path) and _is_cut_off(self.path):
            os.write(self._descriptor, b"\n")
        return self._descriptor

    def _rotate(self) -> None:
        """Rename the file and the older ones; the oldest goes."""
        for number in range(self._backups, 0, -1):
            older = self.path if number == 1 else self._backup(number - 1)
            if older.exists():
                older.replace(self._backup(number))

    def _backup(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _sync_folder(folder: Path) -> None:
    """Without it a power cut may take a new file's name, and all that was synced into it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_cut_off(file: Path) -> bool:
    """Whether a file was left in the middle of a line, by a kill or a disk that became full."""
    with file.open("rb") as opened:
        if not opened.seek(0, os.SEEK_END):
            return False
        opened.seek(-1, os.SEEK_END)
        return opened.read(1) != b"\n"
