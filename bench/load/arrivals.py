"""Requests that come when they come, and not when the last was answered: open loop over gRPC.

The client is ours (`bench/load/rpc.py`, a process of its own): no packaged generator sends at
exponentially distributed times. A request's time counts from when it was due, so a client that
is late does not make the service look better.
"""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil

from bench.load.cpu import Meter
from bench.load.figures import latencies_ms
from bench.load.growth import MEMORY, Growth, growth
from bench.load.pressure import can_press, press
from bench.load.rpc import OK, Calls, Job, run_apart

REST_S = 5.0  # after an overload, until latency has to be as before
SINGLES_S = 4.0
MB = 1_000_000
# What is expected of the service under more load than it can bear.
LEAST_GOODPUT = 0.9  # of its capacity
REFUSED_WITHIN_MS = 100.0
SLOWER_AFTER = 1.25  # median latency of single requests REST_S after the load, over the one before
# Requests a second that are timed one by one while h2load sends the others: each costs this
# machine as much as ten of h2load's.
PROBES = 10.0
_SAMPLES = 40  # of memory in a run
_COMMON = 0.99  # share of refusals that have to be in time


@dataclass(frozen=True)
class Side:
    """The service as these measurements see it.

    pids: its processes by name. answer_bytes: of a good answer, 0 where unknown.
    """

    address: str
    message: bytes
    pids: dict[str, int]
    answer_bytes: int = 0

    def memory(self) -> int:
        """Bytes that the pipeline's processes hold (RSS)."""
        pids = (pid for name, pid in self.pids.items() if name.startswith("pipeline"))
        return sum(psutil.Process(pid).memory_info().rss for pid in pids)

    def job(self, seconds: float, rate: float = 0.0, concurrency: int = 0, seed: int = 0) -> Job:
        """What to send."""
        text = base64.b64encode(self.message).decode("ascii")
        return Job(self.address, text, seconds, rate, concurrency, seed)


def random_arrivals(side: Side, capacity: float, share: float, seconds: float) -> dict[str, Any]:
    """Poisson arrivals at a share of the capacity (requests a second): latency and its spread."""
    meter = Meter(side.pids)
    calls = run_apart(side.job(seconds, rate=share * capacity))
    latency = latencies_ms(calls.latencies())
    return {
        "share": share,
        "capacity": capacity,
        "requests": len(calls.codes),
        "errors": len(calls.latencies(None)),
        "latency_ms": latency,
        "p99/p50": latency["p99"] / latency["p50"] if latency else None,
        "cores": meter.cores(),
    }


def overload(side: Side, capacity: float, factor: float, seconds: float) -> dict[str, Any]:
    """Arrivals at a multiple of the capacity: what is still answered, how fast the rest hears.

    memory: of the pipeline's processes in bytes (RSS), over the time. single_ms: latency of one
    request at a time, before and REST_S after the end. kept: what is expected, and whether it was
    so, None where that cannot be told.
    """
    before = _single_latency(side)
    # What a full queue takes is taken once; growth is what comes on top of it.
    _flood(side, factor * capacity, min(seconds / 4, 10.0), seed=1)
    meter = Meter(side.pids)
    with _memory_over_time(side, seconds / _SAMPLES) as memory:
        flood = _flood(side, factor * capacity, seconds)
    cores = meter.cores()
    time.sleep(REST_S)
    after = _single_latency(side)
    calls, goodput = flood.timed, flood.goodput
    refusals = calls.latencies(None)
    grown = growth(MEMORY, *zip(*memory)) if memory else None
    figures = {
        "factor": factor,
        "capacity": capacity,
        "seconds": seconds,
        "requests": flood.requests,
        "codes": flood.codes(seconds),
        "timed": len(calls.codes),
        "goodput": goodput,
        "goodput/capacity": goodput / capacity,
        "answer_ms": latencies_ms(calls.latencies()),
        "refusal_ms": latencies_ms(refusals),
        "refused_in_time": _share_within(refusals, REFUSED_WITHIN_MS / 1e3),
        "memory": memory,
        "memory_growth": grown.to_dict() if grown else None,
        "single_ms": {"before": before, "after": after},
        "cores": cores,
    }
    return {**figures, "kept": _kept(figures, grown)}


@dataclass(frozen=True)
class _Flood:
    """timed: the requests whose times are known. goodput: good answers a second, of all."""

    timed: Calls
    requests: int
    goodput: float

    def codes(self, seconds: float) -> dict[str, int]:
        """How many requests ended how; of those that were not timed, OK or not."""
        if self.requests == len(self.timed.codes):
            return {code: self.timed.codes.count(code) for code in sorted(set(self.timed.codes))}
        good = round(self.goodput * seconds)
        refused = ", ".join(sorted(set(self.timed.codes) - {OK})) or "refused"
        return {OK: good, refused: self.requests - good}


def _flood(side: Side, rate: float, seconds: float, seed: int = 0) -> _Flood:
    """Arrivals at `rate`: with h2load and a few beside it that are timed, or else all timed."""
    if not (side.answer_bytes and can_press() and rate > 2 * PROBES):
        calls = run_apart(side.job(seconds, rate=rate, seed=seed))
        return _Flood(calls, len(calls.codes), calls.rate(seconds))
    with ThreadPoolExecutor(1) as beside:
        probing = beside.submit(run_apart, side.job(seconds, rate=PROBES, seed=seed))
        pressed = press(side.address, side.message, side.answer_bytes, rate - PROBES, seconds)
        calls = probing.result()
    good = pressed.good + len(calls.latencies())
    return _Flood(calls, pressed.requests + len(calls.codes), good / seconds)


def _kept(figures: dict[str, Any], grown: Growth | None) -> dict[str, bool | None]:
    single = figures["single_ms"]
    in_time = figures["refused_in_time"]
    known = single["before"] and single["after"]
    return {
        f"goodput at least {LEAST_GOODPUT:g} of the capacity": (
            figures["goodput/capacity"] >= LEAST_GOODPUT
        ),
        f"{_COMMON:.0%} of the rest refused within {REFUSED_WITHIN_MS:.0f} ms": (
            None if in_time is None else in_time >= _COMMON
        ),
        "memory flat": None if grown is None else not grown.grows,
        f"latency normal {REST_S:.0f} s after": (
            single["after"]["p50"] <= SLOWER_AFTER * single["before"]["p50"] if known else None
        ),
    }


def _share_within(seconds: list[float], limit: float) -> float | None:
    return sum(took <= limit for took in seconds) / len(seconds) if seconds else None


@contextlib.contextmanager
def _memory_over_time(side: Side, interval: float) -> Iterator[list[tuple[float, int]]]:
    """Pairs of seconds and bytes; they are all there when the block has been left."""
    found: list[tuple[float, int]] = []
    end = threading.Event()
    began = time.monotonic()

    def sample() -> None:
        with contextlib.suppress(psutil.Error):
            while not end.wait(interval):
                found.append((round(time.monotonic() - began, 2), side.memory()))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()


def _single_latency(side: Side) -> dict[str, float]:
    return latencies_ms(run_apart(side.job(SINGLES_S, concurrency=1)).latencies())
