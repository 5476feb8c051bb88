"""Several picture sets at once: a load generator for each, all running at the same time."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.load import generators
from bench.load.cpu import Meter, service_pids, wait_until_idle
from bench.load.figures import Load
from bench.load.generators import Target
from bench.load.pictures import PictureSet
from bench.load.rpc import closed_load
from bench.load.session import target_of
from runtime.launch import Service


@dataclass(frozen=True)
class Mixed:
    """What one run came to. loads: of each set. cores: as in `Load`."""

    loads: tuple[Load, ...]
    cores: dict[str, float]

    @property
    def qps(self) -> float:
        """Requests a second of all sets."""
        return sum(load.qps for load in self.loads)

    @property
    def errors(self) -> int:
        return sum(load.errors for load in self.loads)

    def latency(self, name: str) -> float:
        """Milliseconds, `p50` for example, of the set that waits longest; nan without answers."""
        found = [load.latency_ms[name] for load in self.loads if load.latency_ms]
        return max(found, default=float("nan"))

    def over(self, other: Mixed) -> float:
        """The geometric mean of the sets' ratios of requests a second.

        A setting that serves one set sooner at another's cost is so not taken for a faster one, as
        it would be in a sum, where small pictures count as much as large ones. 0 where one of the
        two answered nothing.
        """
        pairs = [(one.qps, two.qps) for one, two in zip(self.loads, other.loads)]
        if not all(one > 0 and two > 0 for one, two in pairs):
            return 0.0
        return statistics.geometric_mean([one / two for one, two in pairs])

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "qps": round(self.qps, 2),
            "errors": self.errors,
            "sets": [load.to_dict() for load in self.loads],
            "cores": {name: round(used, 3) for name, used in self.cores.items()},
        }


class Mixture:
    """Loads one service with all sets, each with its share of the requests at a time.

    interface: "HTTP" or "gRPC". Raises RuntimeError where an answer is not as it should be.
    """

    def __init__(
        self,
        service: Service,
        sets: Sequence[PictureSet],
        concurrency: int,
        interface: str = "HTTP",
    ) -> None:
        self._interface = interface
        self._pids = service_pids(service.pid)
        shares = _shares(concurrency, len(sets))
        self._runs = [
            self._run_of(target_of(service, pictures), share)
            for pictures, share in zip(sets, shares)
        ]

    def run(self, seconds: float) -> Mixed:
        """One run, once the service has nothing else to do."""
        wait_until_idle(self._pids)
        meter = Meter(self._pids)
        with ThreadPoolExecutor(len(self._runs)) as pool:
            futures = [pool.submit(run, seconds) for run in self._runs]
            loads = tuple(future.result() for future in futures)
        return Mixed(loads, meter.cores())

    def _run_of(self, target: Target, share: int) -> Callable[[float], Load]:
        if self._interface == "HTTP":
            name = generators.available()
            return lambda seconds: generators.http_load(name, target, seconds, share)
        if shutil.which("h2load"):
            return lambda seconds: generators.grpc_load(target, seconds, share)
        call = partial(closed_load, target.address, target.message)
        return lambda seconds: call(seconds, share, share)


def interface_here() -> str:
    """HTTP where a load generator is installed for it, else gRPC, for which there is our own."""
    return "HTTP" if any(map(shutil.which, generators.HTTP)) else "gRPC"


def _shares(concurrency: int, sets: int) -> list[int]:
    """As equal as they can be, and at least one each."""
    whole, rest = divmod(max(concurrency, sets), sets)
    return [whole + (number < rest) for number in range(sets)]
