"""Memory, swap, and the shared memory of containers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.check.finding import Finding, not_applicable, passed, sized, warned
from deploy.check.machine import Machine
from deploy.check.probes.cgroups import memory_limit

GIB = 1 << 30
MIB = 1 << 20


def probe(machine: Machine, replicas: int = 0) -> Iterator[Finding]:
    """The items of the group memory. replicas: of the pipeline, 0 where nobody has said yet."""
    known = _meminfo(machine)
    if "MemTotal" not in known:
        yield warned("memory.total", "/proc/meminfo cannot be read")
        return
    total, limit = known["MemTotal"], memory_limit(machine)
    words = sized(total)
    if limit is not None and limit < total:
        words = f"{sized(limit)}, the cgroup's limit, of {words}"
    yield Finding("memory.total", words, usable(machine) / GIB)
    if replicas:
        each = usable(machine) / replicas
        words = f"{sized(each)} for each of {replicas}"
        yield Finding("memory.replicas", words, each / GIB)
    available = known.get("MemAvailable", known.get("MemFree", 0))
    yield Finding("memory.available", sized(available), available / GIB)
    yield from _swap(known)
    yield from _shared(machine)


def usable(machine: Machine) -> int:
    """Bytes that there are for this process and its like; 0 where that cannot be read."""
    total, limit = _meminfo(machine).get("MemTotal", 0), memory_limit(machine)
    return total if limit is None else min(total, limit)


def _meminfo(machine: Machine) -> dict[str, int]:
    """Name to bytes."""
    text = machine.read("/proc/meminfo") or ""
    return {name: int(kib) * 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def _swap(known: dict[str, int]) -> Iterator[Finding]:
    total = known.get("SwapTotal", 0)
    used = total - known.get("SwapFree", 0)
    if not total:
        yield passed("memory.swap", "none")
        return
    yield Finding("memory.swap", f"{sized(used)} of {sized(total)} in use", used / MIB)


def _shared(machine: Machine) -> Iterator[Finding]:
    space = machine.space("/dev/shm")  # noqa: S108 - looked at, not written
    if space is None:
        yield not_applicable("memory.shared", "no /dev/shm")
        return
    yield Finding("memory.shared", sized(space.total), space.total / MIB)
