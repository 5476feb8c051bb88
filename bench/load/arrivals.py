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
from dataclasses import dataclass
from typing import Any, Optional

import psutil

from bench.load.cpu import Meter
from bench.load.figures import latencies_ms
from bench.load.growth import MEMORY, Growth, growth
from bench.load.rpc import Job, run_apart

REST_S = 5.0  # after an overload, until latency has to be as before
SINGLES_S = 4.0
MB = 1_000_000
# What is expected of the service under more load than it can bear.
LEAST_GOODPUT = 0.9  # of its capacity
REFUSED_WITHIN_MS = 100.0
SLOWER_AFTER = 1.25  # median latency of single requests REST_S after the load, over the one before
_SAMPLES = 40  # of memory in a run
_COMMON = 0.99  # share of refusals that have to be in time


@dataclass(frozen=True)
class Side:
    """The service as these measurements see it. pids: its processes by name."""

    address: str
    message: bytes
    pids: dict[str, int]

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
    run_apart(side.job(min(seconds / 4, 10.0), rate=factor * capacity, seed=1))
    meter = Meter(side.pids)
    with _memory_over_time(side, seconds / _SAMPLES) as memory:
        calls = run_apart(side.job(seconds, rate=factor * capacity))
    cores = meter.cores()
    time.sleep(REST_S)
    after = _single_latency(side)
    goodput = calls.rate(seconds)
    refusals = calls.latencies(None)
    codes = {code: calls.codes.count(code) for code in sorted(set(calls.codes))}
    grown = growth(MEMORY, *zip(*memory)) if memory else None
    figures = {
        "factor": factor,
        "capacity": capacity,
        "seconds": seconds,
        "requests": len(calls.codes),
        "codes": codes,
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


def _kept(figures: dict[str, Any], grown: Optional[Growth]) -> dict[str, Optional[bool]]:
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


def _share_within(seconds: list[float], limit: float) -> Optional[float]:
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
