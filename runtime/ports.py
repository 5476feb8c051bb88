"""Ports of this machine for servers that are started for a measurement or a test."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
# What most systems give to connections that do not ask for a port of their own.
_USUAL_FIRST = 32_768
_LOWEST = 20_000
_CHOICE = random.SystemRandom()


def unused_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different.

    None is of those that the system gives to outgoing connections: between the choice of a port
    and the start of its server any connection of the machine could take such a one.
    """
    first = min(_first_of_connections(), 1 << 16)
    candidates = range(_LOWEST, first) if first > _LOWEST + 1000 else range(1024, first)
    with contextlib.ExitStack() as stack:
        held: list[int] = []
        for port in _CHOICE.sample(candidates, len(candidates)):
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("0.0.0.0", port))  # noqa: S104 - as servers may listen
                held.append(port)
            if len(held) == count:
                return held
    raise RuntimeError(f"no {count} ports are free")


def free_ports() -> tuple[int, int]:
    """Two `unused_ports`."""
    one, other = unused_ports(2)
    return one, other


def _first_of_connections() -> int:
    try:
        return int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return _USUAL_FIRST
