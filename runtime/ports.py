"""Ports of this machine for servers that are started for a measurement or a test."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What most systems give to connections that do not ask for a port of their own.
_USUAL_FIRST = 32_768
_LOWEST = 20_000
_CHOICE = random.SystemRandom()
# Given by this process already, whose own locks do not keep it from having them twice.
_GIVEN: set[int] = set()


def unused_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different.

    None is of those that the system gives to outgoing connections: between the choice of a port
    and the start of its server any connection of the machine could take such a one. For the same
    reason other processes of this user that ask here get others, as long as this one lives.
    """
    first = min(_first_of_connections(), 1 << 16)
    candidates = range(_LOWEST, first) if first > _LOWEST + 1000 else range(1024, first)
    with contextlib.ExitStack() as stack:
        held: list[int] = []
        for port in _CHOICE.sample(candidates, len(candidates)):
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("0.0.0.0", port))  # noqa: S104 - as servers may listen
                _take(port)
                held.append(port)
            if len(held) == count:
                return held
    raise RuntimeError(f"no {count} ports are free")


def neighbouring_ports(count: int) -> range:
    """`unused_ports` that follow each other."""
    first = min(_first_of_connections(), 1 << 16)
    lowest = _LOWEST if first > _LOWEST + 1000 else 1024
    for start in _CHOICE.sample(range(lowest, first - count), first - count - lowest):
        ports = range(start, start + count)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in ports:
                probe = stack.enter_context(socket.socket())
                probe.bind(("0.0.0.0", port))  # noqa: S104 - as servers may listen
                _take(port)
            return ports
    raise RuntimeError(f"no {count} ports in a row are free")


def free_ports() -> tuple[int, int]:
    """Two `unused_ports`."""
    one, other = unused_ports(2)
    return one, other


def _take(port: int) -> None:
    """Raise OSError for a port that was given already, here or by another process."""
    if port in _GIVEN:
        raise FileExistsError(port)
    file = _lock_file()
    if file is not None:
        # The port's byte of the file; the lock is gone with this process.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    _GIVEN.add(port)


@cache
def _lock_file() -> int | None:
    path = Path(tempfile.gettempdir()) / f"face-serving-ports-{os.getuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None  # then without: somebody else's file has the name


def _first_of_connections() -> int:
    try:
        return int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_FIRST
