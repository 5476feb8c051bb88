"""Ports for servers that are about to be started are given once."""

from __future__ import annotations

import subprocess
import sys

from runtime import ports
from tests.support.service import ROOT

_TAKES = "from runtime.ports import unused_ports; print(*unused_ports(20), flush=True); input()"


class Ordered:
    """In place of chance: these first."""

    def __init__(self, first):
        self.first = first

    def sample(self, candidates, _):
        return [*self.first, *(one for one in candidates if one not in self.first)]


def test_no_port_is_given_twice(monkeypatch):
    given = ports.unused_ports(20)
    monkeypatch.setattr(ports, "_CHOICE", Ordered(given))
    assert not set(given) & set(ports.unused_ports(20))


def test_what_another_process_was_given_is_its_own_as_long_as_it_lives(monkeypatch):
    other = subprocess.Popen(
        [sys.executable, "-c", _TAKES], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    given = [int(port) for port in other.stdout.readline().split()]
    monkeypatch.setattr(ports, "_CHOICE", Ordered(given))
    assert len(given) == 20
    assert not set(given) & set(ports.unused_ports(20))
    other.communicate("\n")
    assert ports.unused_ports(1)[0] in given


def test_ports_in_a_row_are_given_once_and_a_row_with_one_in_use_to_nobody(monkeypatch):
    first = ports.neighbouring_ports(5)
    assert [*first] == [*range(first[0], first[0] + 5)]
    # Beginning with the last of them.
    monkeypatch.setattr(ports, "_CHOICE", Ordered([first[-1]]))
    assert not set(first) & set(ports.neighbouring_ports(5))
    assert not set(first) & set(ports.unused_ports(20))
