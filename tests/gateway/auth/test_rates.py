"""How requests and failures are counted."""

from __future__ import annotations

import pytest

from gateway.auth import rates


@pytest.mark.parametrize(
    ("rate", "window"),
    [
        (1, (1, 1)),
        (2.5, (5, 2)),
        (100, (100, 1)),
        (0.5, (1, 2)),
        (0.001, (1, 1000)),
        (33.3, (333, 10)),
    ],
)
def test_a_rate_is_counted_in_a_window(rate, window):
    assert rates.window_of(rate) == pytest.approx(window)


def test_a_window_moves_with_the_time(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("gateway.auth.rates.time.monotonic", lambda: now)
    counted = rates.Rates()
    assert [counted.admit("a", 3) for _ in range(4)] == [True, True, True, False]
    now += 0.9
    assert not counted.admit("a", 3)
    assert counted.admit("b", 3)
    now += 0.1
    assert [counted.admit("a", 3) for _ in range(4)] == [True, True, True, False]


def test_failures_are_counted_by_network_forgotten_and_bounded(monkeypatch):
    now = 1000.0
    monkeypatch.setattr("gateway.auth.rates.time.monotonic", lambda: now)
    failures = rates.Failures()
    for number in range(rates.FAILURES):
        failures.add(f"2001:db8::{number:x}")
    assert failures.too_many("2001:db8::ffff")
    assert not failures.too_many("2001:db8:0:1::1")
    now += rates.FAILURES_S
    assert not failures.too_many("2001:db8::ffff")
    for number in range(rates.MOST + 100):
        failures.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures._failures) == rates.MOST
    assert rates.source_of("::ffff:192.0.2.1") == rates.source_of("192.0.2.1")
    assert rates.source_of("testclient") == rates.source_of("x" * 60_000) == rates.NO_ADDRESS
