"""Control groups of Linux, version 1 and 2: what a tenant's processes may take together.

Where this user may make none, the keeper looks at the processes' memory itself; see `keeper`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_PARENT = "face-tenants"
_CONTROLLERS = ("memory", "cpu", "cpuset", "pids")
_PERIOD_US = 100_000
# Of all tenants together against what else runs on the machine, in units of one process: without
# it they would have as much of a busy core as one other process, however many they are.
_WEIGHT = 16
_EMPTY_S = 10.0


@dataclass(frozen=True)
class Limits:
    """Of all processes of a tenant together.

    memory: bytes. cores: numbers as in "0-1", empty for all; so many cores' time they get.
    core_count: 0 for any. processes: with their threads.
    """

    memory: int
    cores: str
    core_count: int
    processes: int


@dataclass(frozen=True)
class Group:
    """A tenant's group: a folder for each hierarchy.

    version: 1, 2, or 0 where there is none. memory: the folder that counts memory.
    """

    version: int = 0
    folders: tuple[Path, ...] = ()
    memory: Path | None = None
    limited: tuple[str, ...] = field(default=())

    def in_words(self) -> str:
        """What limits the tenant, for tables."""
        return f"cgroup v{self.version}" if self.memory else "watched"

    def used_bytes(self) -> int | None:
        """Memory in use without what can be dropped at once; None where no group counts it."""
        if self.memory is None:
            return None
        name, reclaimable = (
            ("memory.current", "inactive_file")
            if self.version == 2
            else ("memory.usage_in_bytes", "total_inactive_file")
        )
        with contextlib.suppress(OSError, ValueError):
            used = int((self.memory / name).read_text())
            return max(used - _counter(self.memory / "memory.stat", reclaimable), 0)
        return None

    def kills(self) -> int:
        """How often the kernel has killed a process of the group for its memory."""
        if self.memory is None:
            return 0
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        with contextlib.suppress(OSError, ValueError):
            return _counter(self.memory / name, "oom_kill")
        return 0

    def pids(self) -> set[int]:
        """Its processes."""
        found: set[int] = set()
        for folder in self.folders:
            with contextlib.suppress(OSError):
                found |= {int(line) for line in (folder / "cgroup.procs").read_text().split()}
        return found

    def kill(self) -> None:
        """SIGKILL to all of its processes, until there are none."""
        give_up = time.monotonic() + _EMPTY_S
        while (pids := self.pids()) and time.monotonic() < give_up:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def remove(self) -> None:
        """Remove its folders; processes that are still in it keep them."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                folder.rmdir()


def make_group(name: str, limits: Limits, mounts: Path = _MOUNTS) -> Group:
    """A group of this name with limits, for what this user and this kernel can limit.

    One that is there already gets the limits. mounts: as /proc/self/mounts.
    """
    made: dict[str, tuple[int, Path]] = {}
    for controller, version, root in _hierarchies(mounts):
        with contextlib.suppress(OSError):
            folder = _made(root, name, version)
            _limit(folder, controller, version, limits)
            made[controller] = version, folder
    versions = {version for version, _ in made.values()}
    memory = made.get("memory")
    return Group(
        memory[0] if memory else max(versions, default=0),
        tuple(dict.fromkeys(folder for _, folder in made.values())),
        memory[1] if memory else None,
        tuple(made),
    )


def _hierarchies(mounts: Path) -> Iterator[tuple[str, int, Path]]:
    """Each controller with its version and where it is mounted."""
    try:
        lines = [line.split(" ") for line in mounts.read_text().splitlines()]
    except OSError:
        return
    for _, place, kind, options, *_ in lines:
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(_CONTROLLERS):
                yield controller, 1, Path(place)
        elif kind == "cgroup2":
            with contextlib.suppress(OSError):
                there = (Path(place) / "cgroup.controllers").read_text().split()
                for controller in _CONTROLLERS:
                    if controller in there:
                        yield controller, 2, Path(place)


def _made(root: Path, name: str, version: int) -> Path:
    """The group's folder. Raises OSError."""
    parent = root / _PARENT
    parent.mkdir(exist_ok=True)
    if version == 2:
        for folder in (root, parent):
            there = (folder / "cgroup.controllers").read_text().split()
            on = (folder / "cgroup.subtree_control").read_text().split()
            for controller in set(_CONTROLLERS) & set(there) - set(on):
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    folder = parent / name
    folder.mkdir(exist_ok=True)
    return folder


def _limit(folder: Path, controller: str, version: int, limits: Limits) -> None:
    """Write a controller's limits. Raises OSError where they cannot be set."""
    if controller == "memory":
        (_memory_v2 if version == 2 else _memory_v1)(folder, limits.memory)
    elif controller == "cpu":
        quota = limits.core_count * _PERIOD_US
        if version == 2:
            (folder / "cpu.max").write_text(f"{quota or 'max'} {_PERIOD_US}")
            (folder.parent / "cpu.weight").write_text(str(100 * _WEIGHT))
        else:
            (folder / "cpu.cfs_quota_us").write_text(str(quota or -1))
            (folder.parent / "cpu.shares").write_text(str(1024 * _WEIGHT))
    elif controller == "cpuset":
        # Version 1 takes nothing over from above.
        if version == 1:
            for one in (folder.parent, folder):
                for file in ("cpuset.mems", "cpuset.cpus"):
                    if not (one / file).read_text().strip():
                        (one / file).write_text((one.parent / file).read_text())
        if limits.cores:
            (folder / "cpuset.cpus").write_text(limits.cores)
    else:
        (folder / "pids.max").write_text(str(limits.processes))


def _memory_v1(folder: Path, most: int) -> None:
    with_swap = folder / "memory.memsw.limit_in_bytes"
    # Both orders: the one with swap may never be below the other.
    for file in (with_swap, folder / "memory.limit_in_bytes", with_swap):
        last = file is not with_swap
        try:
            file.write_text(str(most))
        except OSError:
            if last:
                raise


def _memory_v2(folder: Path, most: int) -> None:
    (folder / "memory.max").write_text(str(most))
    with contextlib.suppress(OSError):  # a kernel without swap
        (folder / "memory.swap.max").write_text("0")
    # One killed process would leave a service in pieces.
    (folder / "memory.oom.group").write_text("1")


def _counter(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
