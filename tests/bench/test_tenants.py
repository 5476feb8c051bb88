"""The benchmark of tenants: who gets which cores, what is killed, which ratio is held."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.tenants import machine, tenants_bench
from bench.tenants.machine import Cores, Killer, cores_here
from tests.support.service import wait_until


@pytest.mark.parametrize(
    ("here", "expected"),
    [
        ({0}, None),
        ({0, 1}, Cores(measured=1, others=(0,), client=1)),
        ({2, 5, 7}, Cores(measured=7, others=(2, 5), client=7)),
        ({0, 1, 2, 3}, Cores(measured=3, others=(0, 1), client=2)),
    ],
)
def test_the_measured_tenant_has_a_core_of_its_own(monkeypatch, here, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: here)
    assert cores_here() == expected


class Victims:
    """A process in a service's place; it is there again each time that it is asked for."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def pid(self, _: str) -> int:
        self.processes.append(
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
        )
        return self.processes[-1].pid


def test_one_is_killed_again_and_again_until_it_is_over():
    victims = Victims()
    killer = Killer(victims, machine.KILLED, 0.05)
    assert wait_until(lambda: killer.kills >= 2, 30)
    killer.stop()
    kills = killer.kills
    assert [one.wait(30) for one in victims.processes] == [-9] * kills


@pytest.mark.parametrize(("beside", "status"), [(12.0, 0), (14.0, 1)])
def test_a_ratio_over_the_limit_is_a_failure(monkeypatch, capsys, beside, status):
    def rounds(*_):
        sides = {"alone": 10.0, "beside": beside}
        row = {
            side: {"answers": 9, "p50": 1.0, "p90": 2.0, "p99": p99} for side, p99 in sides.items()
        }
        return [{**row, "kills": 3}]

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(tenants_bench, "_measure", rounds)
    assert tenants_bench.main([]) == status
    assert f"{beside / 10:.2f}" in capsys.readouterr().out
