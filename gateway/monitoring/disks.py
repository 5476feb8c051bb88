"""How much room is left where the service writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from settings.config import Config


@dataclass(frozen=True)
class Room:
    """Bytes of a file system. free: that the service may still write."""

    free: float
    size: float


def folders_of(config: Config) -> dict[str, Path]:
    """The folders that the gateway writes to, by what lies there.

    A database on a server has its own disk, which is not seen from here.
    """
    library = config.library_config()
    found = {"logs": config.log_dir(), "tokens": config.token_file().parent}
    if (database := library.database_file()) is not None:
        found["database"] = database.parent
    if (snapshots := library.snapshot_dir()) is not None:
        found["snapshots"] = snapshots
    return found


def rooms(folders: Mapping[str, Path]) -> dict[str, Room]:
    """The room in each folder, or in the one above it that is there; what fails is left out."""
    found = {}
    for what, folder in folders.items():
        try:
            seen = os.statvfs(_nearest(folder))
        except OSError:
            continue
        found[what] = Room(seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize)
    return found


def _nearest(folder: Path) -> Path:
    return next(one for one in (folder, *folder.parents) if one.exists())
