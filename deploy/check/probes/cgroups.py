"""The limits that control groups put on this process: its own group's and those above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from deploy.check.machine import Machine

_ROOT = "/sys/fs/cgroup"
# What version 1 says where there is no limit: the largest number of whole pages.
_NO_LIMIT = 1 << 60


def memory_limit(machine: Machine) -> int | None:
    """Bytes, or None for no limit."""
    found = [
        int(text)
        for folder in _folders(machine, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := (machine.read(f"{folder}/{name}") or "").strip()).isdigit()
    ]
    return min((limit for limit in found if limit < _NO_LIMIT), default=None)


def processor_limit(machine: Machine) -> float | None:
    """Cores' worth of time, or None for no limit."""
    found = []
    for folder in _folders(machine, "cpu"):
        words = (machine.read(f"{folder}/cpu.max") or "").split()
        if not words:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            words = [(machine.read(f"{folder}/{name}") or "").strip() for name in names]
        if all(word.isdigit() and int(word) for word in words):
            found.append(int(words[0]) / int(words[1]))
    return min(found, default=None)


def _folders(machine: Machine, controller: str) -> Iterator[str]:
    """Of the group of this process, up to the root, in version 2 and in version 1."""
    lines = (machine.read("/proc/self/cgroup") or "").splitlines()
    for line in lines:
        match = re.fullmatch(r"\d+:([^:]*):(/.*)", line)
        if match is None:
            continue
        controllers, path = match[1].split(","), PurePosixPath(match[2])
        if controllers == [""]:
            base = _ROOT
        elif controller in controllers:
            base = f"{_ROOT}/{controller}"
        else:
            continue
        for one in (path, *path.parents):
            yield f"{base}{one}".rstrip("/")
