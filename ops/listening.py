"""Sockets that the service listens on: its own, and those that a parent hands down."""

from __future__ import annotations

import os
import socket
from typing import Optional

LISTENING = "FACE_SERVICE_LISTENING"  # the environment's name for a socket from the parent


def inherited() -> Optional[socket.socket]:
    """The listening socket that the parent holds for this process; None without one."""
    file = os.environ.get(LISTENING)
    if file is None:
        return None
    made = socket.socket(fileno=int(file))
    made.setblocking(False)
    return made


def listen(host: str, port: int, shared: bool) -> socket.socket:
    """A listening socket; with `shared`, replicas may listen on the port as well.

    Raises OSError where the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on: answers would wait 40 ms for an
    # acknowledgement that the client's system holds back.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind((host, port))
        made.listen(1024)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made
