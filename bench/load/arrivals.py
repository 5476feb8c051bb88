"""Requests that come when they come, and not when the last was answered: open loop over gRPC.

The client is ours (`bench/load/rpc.py`, a process of its own): no packaged generator sends at
exponentially distributed times. A request's time counts from when it was due, so a client that
is late does not make the service look better.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from typing import Any

import psutil

from bench.load.cpu import Meter
from bench.load.figures import latencies_ms
from bench.load.rpc import Job, run_apart

REST_S = 5.0  # after an overload, until latency has to be as before
SINGLES_S = 4.0
MB = 1_000_000


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

    memory: of the pipeline's processes in bytes (RSS). single_ms: latency of one request at a
    time, before and REST_S after the end.
    """
    before = _single_latency(side)
    # What a full queue takes is taken once; growth is what comes on top of it.
    run_apart(side.job(min(seconds / 4, 10.0), rate=factor * capacity, seed=1))
    memory = [side.memory()]
    meter = Meter(side.pids)
    calls = run_apart(side.job(seconds, rate=factor * capacity))
    cores = meter.cores()
    memory.append(side.memory())
    time.sleep(REST_S)
    after = _single_latency(side)
    goodput = calls.rate(seconds)
    codes = {code: calls.codes.count(code) for code in sorted(set(calls.codes))}
    return {
        "factor": factor,
        "capacity": capacity,
        "seconds": seconds,
        "requests": len(calls.codes),
        "codes": codes,
        "goodput": goodput,
        "goodput/capacity": goodput / capacity,
        "answer_ms": latencies_ms(calls.latencies()),
        "refusal_ms": latencies_ms(calls.latencies(None)),
        "memory": memory,
        "memory_growth_MB": (memory[1] - memory[0]) / MB,
        "single_ms": {"before": before, "after": after},
        "cores": cores,
    }


def _single_latency(side: Side) -> dict[str, float]:
    return latencies_ms(run_apart(side.job(SINGLES_S, concurrency=1)).latencies())
