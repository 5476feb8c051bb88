"""The service and its clients, looked at every few seconds."""

from __future__ import annotations

import contextlib
import json
import select
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import psutil

from bench.load.growth import ALLOWANCES, FEWEST, WARM_UP, Growth, growth
from bench.memory import total_pss, usage_of
from bench.soak.clients import TIMEOUT_S, Job, Report
from runtime.tethered_child import PIPE, end_child, pipes_of, start_child

QUIET_CORES = 0.1  # that other programs may use while latency is judged
_LATENCIES = ("p50", "p99")
_ENOUGH = int(FEWEST / (1.0 - WARM_UP)) + 1  # samples of which something can be said
_SILENT_S = 60.0  # after which clients that say nothing are given up


@dataclass(frozen=True)
class Sample:
    """Of one interval. seconds: since the start. rate: requests a second.

    pss, rss: bytes of all processes of the service. descriptors, threads: of them all.
    p50, p99: milliseconds. errors: requests that were not answered as they should. others: cores
    that neither the service nor its clients used.
    """

    seconds: float
    requests: int
    rate: float
    errors: int
    pss: int
    rss: int
    descriptors: int
    threads: int
    p50: float | None
    p99: float | None
    others: float = 0.0


@dataclass
class Record:
    """The whole run. counts: requests by what became of them. unexpected: by what came instead.

    trouble: why it ended before its time, or empty.
    """

    samples: list[Sample] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    trouble: str = ""

    @property
    def requests(self) -> int:
        return sum(self.counts.values()) + sum(self.unexpected.values())

    def note(self, report: Report) -> None:
        """What the clients did in one interval."""
        self.seconds += report.seconds
        for name in ("answered", "refused", "left"):
            self.counts[name] += getattr(report, name)
        self.unexpected.update(report.unexpected)

    def sample(self, report: Report, pid: int, others: float) -> None:
        """How the service is at the end of that interval. Raises psutil.Error.

        pid: of `web_service.py`. others: as in `Sample`.
        """
        usages = usage_of(pid)
        processes = [psutil.Process(usage.pid) for usage in usages]
        self.samples.append(
            Sample(
                round(self.seconds, 2),
                report.requests,
                round(report.requests / report.seconds, 2),
                report.errors,
                total_pss(usages),
                sum(usage.rss for usage in usages),
                sum(process.num_fds() for process in processes),
                sum(process.num_threads() for process in processes),
                report.p50,
                report.p99,
                round(others, 3),
            )
        )

    def growths(self) -> list[Growth]:
        """Of every measure; empty where there are too few samples."""
        found = []
        for allowance in ALLOWANCES:
            samples = self.undisturbed() if allowance.name in _LATENCIES else self.samples
            # An interval without answers has no latency.
            known = [s for s in samples if getattr(s, allowance.name) is not None]
            times = [sample.seconds for sample in known]
            one = growth(allowance, times, [getattr(s, allowance.name) for s in known])
            if one is not None:
                found.append(one)
        return found

    def undisturbed(self) -> list[Sample]:
        """Those whose latency is the service's own: other programs took next to no core.

        On a machine that is never quiet, the quarter of the samples with the least of them.
        """
        enough = max(len(self.samples) // 4, _ENOUGH)
        limit = max([QUIET_CORES, *sorted(sample.others for sample in self.samples)[:enough]])
        return [sample for sample in self.samples if sample.others <= limit]

    def complaints(self) -> list[str]:
        """Why the run is no success; empty if it is one."""
        said = [self.trouble] if self.trouble else []
        found = self.growths()
        if len(found) < len(ALLOWANCES):
            said.append(f"too short: fewer than {FEWEST} samples after the warm-up")
        said += [f"{one.name} grows" for one in found if one.grows and one.judged]
        if self.unexpected:
            said.append(
                f"{sum(self.unexpected.values())} requests were not answered as they should"
            )
        return said

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "seconds": round(self.seconds, 1),
            "requests": self.requests,
            "counts": dict(self.counts),
            "unexpected": dict(self.unexpected),
            "growth": [one.to_dict() for one in self.growths()],
            "complaints": self.complaints(),
            "samples": [asdict(sample) for sample in self.samples],
        }


class Clients:
    """The process of the clients; use it in a `with` block."""

    def __init__(self, job: Job) -> None:
        self._silent_s = job.interval + _SILENT_S
        self._process = start_child(["bench.soak.clients"], stdin=PIPE, stdout=PIPE)
        self._stdin, self._stdout = pipes_of(self._process)
        self._stdin.write(json.dumps(asdict(job)) + "\n")
        self._stdin.flush()

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *exc_info: object) -> None:
        end_child(self._process)

    @property
    def pid(self) -> int:
        return self._process.pid

    def reports(self) -> Iterator[Report]:
        """One an interval, until `stop`. Raises RuntimeError when the clients fail."""
        while True:
            # Each line is written at once, and the next one a whole interval later.
            if not select.select([self._stdout], [], [], self._silent_s)[0]:
                raise RuntimeError("the clients say nothing any more")
            line = self._stdout.readline()
            if not line:
                return
            yield Report(**json.loads(line))

    def stop(self) -> list[Report]:
        """No further requests; what was not reported yet."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        rest = list(self.reports())
        if self._process.wait(TIMEOUT_S):
            raise RuntimeError(f"the clients ended with status {self._process.returncode}")
        return rest


def rows(samples: Sequence[Sample], name: str) -> tuple[list[float], list[float]]:
    """Minutes and values of the samples that have one, to be drawn."""
    known = [sample for sample in samples if getattr(sample, name) is not None]
    return [s.seconds / 60.0 for s in known], [float(getattr(s, name)) for s in known]
