"""Telling systemd how the service is: sd_notify(3), the protocol of Type=notify.

Nothing is told, and nothing fails, where nobody asks for it in $NOTIFY_SOCKET.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

SOCKET = "NOTIFY_SOCKET"
_WATCHDOG, _WATCHDOG_PROCESS = "WATCHDOG_USEC", "WATCHDOG_PID"
# systemd wants a ping within the time that it names; so many of them fit in.
_PINGS = 4
_LONGEST_STATUS = 300
# Seconds to wait for room in the buffer of the one who asked: a few messages fit in.
_PATIENCE_S = 1.0


class Notifier:
    """What the parent process says of the service. Its children have no part in it.

    What systemd has put into the environment is taken out of it, so that no child inherits it.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop(SOCKET, "")
        wanted_us = environment.pop(_WATCHDOG, "")
        process = environment.pop(_WATCHDOG_PROCESS, str(os.getpid()))
        self._address: str | None = None
        # A path, or a name of the kernel's own (unix(7), abstract), which begins with a zero.
        if address[:1] in ("/", "@"):
            self._address = "\0" + address[1:] if address[0] == "@" else address
        self._pause_s: float | None = None
        if self._address and wanted_us.isdigit() and process == str(os.getpid()):
            self._pause_s = int(wanted_us) / 1e6 / _PINGS
        self._pinged = float("-inf")
        self._status = ""

    def status(self, text: str) -> None:
        """A line for people, shown by ``systemctl status``; sent when it is another one."""
        text = " ".join(text.split())[:_LONGEST_STATUS]
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def ready(self) -> None:
        """The service answers, or has taken over its settings."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The settings are being taken over; `ready` says that it is done."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1")

    def ping(self) -> None:
        """All is well; to be called often, sent as often as systemd's watchdog needs it."""
        now = time.monotonic()
        if self._pause_s is not None and now - self._pinged >= self._pause_s:
            self._pinged = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if self._address is None:
            return
        # Whoever asked may be gone, or not read for long: the service goes on.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.settimeout(_PATIENCE_S)
            sender.sendto(text.encode(), self._address)
