"""Which file it is that lies at a path: another one may have taken its place."""

from __future__ import annotations

import os
from pathlib import Path


def identity(file: Path | str | int) -> tuple[int, int] | None:
    """Device and inode of a path, links followed, or of a descriptor; None: there is no such file.

    Raises OSError for a path that cannot be looked at.
    """
    try:
        status = os.stat(file)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
