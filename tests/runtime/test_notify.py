"""What systemd is told, over a socket as systemd has it."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid

import pytest

from runtime import child as children
from runtime import notify
from runtime.child import WELL_S, Child, Program
from runtime.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """A socket of both kinds, and its address as it stands in the environment."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        if request.param == "path":
            address = str(tmp_path / "notify")
            one.bind(address)
        else:
            address = f"@face-{uuid.uuid4().hex}"
            one.bind("\0" + address[1:])
        yield one, address


def test_what_is_told_arrives_in_its_order_and_a_status_only_once(systemd):
    one, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.status("The service is being\nstarted.")
    notifier.status("The service is being started.")
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    assert one.recv(1000) == b"STATUS=The service is being started."
    assert one.recv(1000) == b"READY=1"
    assert one.recv(1000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert one.recv(1000) == b"STOPPING=1"


def test_no_child_inherits_the_socket(systemd):
    environment = {"NOTIFY_SOCKET": systemd[1], "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "A": "b"}
    Notifier(environment)
    assert environment == {"A": "b"}


class Clock:
    """In the place of a module's time."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def test_the_watchdog_is_fed_several_times_within_its_time(systemd, monkeypatch):
    one, address = systemd
    clock = Clock()
    monkeypatch.setattr(notify, "time", clock)
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000"})
    one.setblocking(False)
    told = 0
    for _ in range(600):
        notifier.ping()
        clock.now += 0.1
        with contextlib.suppress(BlockingIOError):
            told += one.recv(100) == b"WATCHDOG=1"
    assert told == 4


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}], ids=["off", "other's"]
)
def test_without_a_watchdog_nothing_is_fed(systemd, environment):
    one, address = systemd
    notifier = Notifier({"NOTIFY_SOCKET": address, **environment})
    notifier.ping()
    notifier.ready()
    assert one.recv(100) == b"READY=1"


def test_nobody_who_listens_is_no_trouble(tmp_path):
    for address in ("", "relative", str(tmp_path / "gone"), "@nobody-is-here"):
        notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
        notifier.ready()
        notifier.ping()


def test_a_child_is_well_while_it_is_started_again_and_not_when_that_goes_on(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(children, "time", clock)
    one = Child(Program("pipeline", "x", ()))
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    one._pipe, one._looked = reading, clock.now
    for _ in range(10):
        os.write(writing, b".")
        clock.now += 0.5
        one.listen()
    assert one.is_well
    for _ in range(int(WELL_S)):
        clock.now += 0.5
        one.listen()
    assert one.is_well
    for _ in range(int(WELL_S)):
        clock.now += 0.5
        one.listen()
    assert not one.is_well
    os.write(writing, b".")
    one.listen()
    assert one.is_well
    os.close(writing)
    one._close()
