"""Backups that are made by themselves: one file each, the oldest go.

They are what ``python -m library backup`` writes. Of files in the folder none but these is touched.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.errors import DeployError
from library.backup.file import checksum_file
from library.store.store import Store
from settings.library import BackupConfig, LibraryConfig

_NAME = re.compile(r"library-(\d{8}T\d{6}Z)(?:-\d+)?\.db")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Backup:
    """A file. made: when, in UTC. size: bytes, with its checksum's file."""

    path: Path
    made: datetime
    size: int


def backups_in(folder: Path) -> list[Backup]:
    """Those that `make` has written, oldest first."""
    found = []
    for path in folder.glob("library-*.db") if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match and path.is_file() and not path.is_symlink():
            made = datetime.strptime(match[1], _TIME).replace(tzinfo=UTC)
            found.append(Backup(path, made, _size(path) + _size(checksum_file(path))))
    return sorted(found, key=lambda one: (one.made, len(one.path.name), one.path.name))


def make(store: Store, config: LibraryConfig) -> tuple[Backup, list[Backup]]:
    """Write a backup; it, and those that had to go for it.

    Raises DeployError where there is no room for one as large as the last, and LibraryError.
    """
    folder = config.backup_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _check_room(folder, config)
    path = _new_path(folder)
    store.backup(path)
    for file in (path, checksum_file(path)):
        file.chmod(0o600)
    removed = superfluous(backups_in(folder), config.backups)
    for old in removed:
        old.path.unlink(missing_ok=True)
        checksum_file(old.path).unlink(missing_ok=True)
        store.forget_backup(old.path)
    return backups_in(folder)[-1], removed


def superfluous(backups: Sequence[Backup], limits: BackupConfig) -> list[Backup]:
    """Which are over the limits, oldest first; never the newest."""
    kept = list(backups)
    gone = []
    while len(kept) > 1 and (
        len(kept) > limits.keep or 0 < limits.bytes < sum(one.size for one in kept)
    ):
        gone.append(kept.pop(0))
    return gone


def newest(config: LibraryConfig) -> Backup:
    """The newest one. Raises DeployError where there is none."""
    found = backups_in(config.backup_dir())
    if not found:
        raise DeployError(
            f"no backup in {config.backup_dir()}; .venv/bin/python -m deploy backup makes one"
        )
    return found[-1]


def _check_room(folder: Path, config: LibraryConfig) -> None:
    """A disk that becomes full in the middle would take the service with it."""
    file = config.database_file()
    before = backups_in(folder)
    needed = max(_size(file) if file else 0, before[-1].size if before else 0)
    free = shutil.disk_usage(folder).free
    if free < 1.2 * needed:
        raise DeployError(
            f"{folder}: {free / 1e6:.0f} MB are free, and a backup takes about "
            f"{needed / 1e6:.0f} MB; make room, or set library.backups.dir to another disk"
        )


def _new_path(folder: Path) -> Path:
    """Several within a second have numbers."""
    stem = f"library-{datetime.now(UTC).strftime(_TIME)}"
    path, number = folder / f"{stem}.db", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.db"
    return path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
