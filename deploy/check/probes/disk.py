"""The disks below the folders of data, logs and models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.check.finding import Finding, Outcome, not_applicable, passed, sized, warned
from deploy.check.machine import HangsError, Machine, Space
from deploy.check.needs import Needs

GIB = 1 << 30
Kinds = Mapping[str, tuple[str, ...]]


def probe(machine: Machine, needs: Needs, kinds: Kinds) -> Iterator[Finding]:
    """The items of the group disk, of each folder. kinds: of file systems, remote and passing."""
    for name, path in needs.folders.items():
        yield from folder(machine, name, path, needs.sqlite, kinds)


def folder(
    machine: Machine, name: str, path: Path, sqlite: bool, kinds: Kinds
) -> Iterator[Finding]:
    """The disk below one folder. sqlite: whether the database is a file, of the folder of data."""
    keeps = name.endswith(("data", "snapshots"))
    try:
        there, space = _nearest(machine, path)
        if space is None:
            yield warned("disk.space", f"{path}: nothing can be found out", subject=name)
            return
        yield from _space(name, there, space)
        if keeps:
            yield _kind(machine, name, there, sqlite, kinds)
            yield _sync(machine, name, there)
    except HangsError as error:
        facts = {"folder": path}
        yield Finding("disk.space", str(error), None, Outcome.FAIL, name, "hangs", facts)


def _nearest(machine: Machine, path: Path) -> tuple[Path, Space | None]:
    """The folder, or where it will be made; and its file system."""
    for one in (path, *path.parents):
        space = machine.space(str(one))
        if space is not None:
            return one, space
    return path, None


def _space(name: str, path: Path, space: Space) -> Iterator[Finding]:
    free = f"{sized(space.free)} of {sized(space.total)} free in {path}"
    facts = {"folder": path}
    yield Finding("disk.space", free, round(space.free / GIB, 2), subject=name, facts=facts)
    if not space.inodes:
        return
    percent = 100 * space.inodes_free / space.inodes
    words = f"{percent:.0f} % of {space.inodes:,} free"
    yield Finding("disk.inodes", words, percent, subject=name, facts=facts)


def _kind(machine: Machine, name: str, path: Path, sqlite: bool, kinds: Kinds) -> Finding:
    mount, kind = mounted(machine, path)
    words = f"{kind} at {mount}"
    facts = {"folder": path, "kind": kind}
    if sqlite and kind in kinds["remote"]:
        return Finding("disk.kind", words, None, Outcome.FAIL, name, "remote", facts)
    if kind in kinds["passing"]:
        return Finding("disk.kind", words, None, Outcome.WARNING, name, "passing", facts)
    return passed("disk.kind", words, name)


def mounted(machine: Machine, path: Path) -> tuple[str, str]:
    """Where the file system of a path is mounted, and of what kind it is."""
    found = ("/", "unknown")
    for line in (machine.read("/proc/self/mounts") or "").splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        # A space in a name is \040 there.
        mount = words[1].replace("\\040", " ")
        inside = mount == "/" or str(path) == mount or str(path).startswith(mount + os.sep)
        # Of several at one place the last one is seen.
        if inside and len(mount) >= len(found[0]):
            found = (mount, words[2])
    return found


def _sync(machine: Machine, name: str, path: Path) -> Finding:
    took = machine.sync_ms(str(path))
    if took is None:
        return not_applicable("disk.sync", f"{path} may not be written by this user", name)
    facts = {"folder": path}
    return Finding("disk.sync", f"{took:.1f} ms", round(took, 1), subject=name, facts=facts)
