"""One service for its data: who has it is written beside it, and the kernel knows."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from settings.config import Config, ConfigError

# Seconds that a process which is being killed may still have its lock.
_PATIENCE_S = 1.0


class DataLock:
    """Locks on files of data, held until this process is gone, however it ends.

    They are of flock(2), on files of their own beside the data: SQLite's own locks are of the
    other kind (`runtime.sqlite_files`), and these go neither with a closed descriptor of another
    file nor to children, which are started with another program.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        self._held: list[int] = []

    def take(self) -> bool:
        """Take the locks; whether who had them before was killed.

        Raises ConfigError where another process has one, OSError where none can be made.
        """
        # All in one order, so that of two services that start at once one gets them.
        killed = [self._take(file) for file in sorted(self._files)]
        return any(killed)

    def release(self) -> None:
        """Let go, and leave word that it was an end in good order."""
        for descriptor in self._held:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)
        self._held.clear()

    def _take(self, file: Path) -> bool:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = file.with_name(f"{file.name}.lock")
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(descriptor):
                raise ConfigError(
                    f"{file.parent}: another service, {_holder(descriptor)}, uses {file.name}; "
                    "end it first, or set another folder"
                )
            was_killed = bool(os.pread(descriptor, 1, 0))
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._held.append(descriptor)
        return was_killed


def data_files(config: Config) -> list[Path]:
    """What a service with these settings has for itself: its tokens, and SQLite's database."""
    if not config.gateway.port:
        return []
    tokens = Path(os.path.realpath(config.token_file()))
    database = config.library_config().database_file()
    return [tokens] if database is None else [tokens, database]


def _locked(descriptor: int) -> bool:
    give_up = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
        if time.monotonic() > give_up:
            return False
        time.sleep(0.02)


def _holder(descriptor: int) -> str:
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
    return f"process {text}" if text.isdigit() else "which has just started"
