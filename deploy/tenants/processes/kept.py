"""What a keeper has to know of the service that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.tenants.processes.cgroups import Limits


@dataclass(frozen=True)
class Kept:
    """A service to keep. folder: of its lock and state. command: a Python file and its arguments.

    log: file of what it prints, rotated at log_bytes, log_files kept. group: name of its control
    group; empty for none. cores: numbers; empty for all. environment: beside this process's.
    """

    folder: Path
    command: tuple[str, ...]
    log: Path
    limits: Limits
    group: str = ""
    cores: tuple[int, ...] = ()
    log_bytes: int = 10_000_000
    log_files: int = 5
    environment: Mapping[str, str] = field(default_factory=dict)
