"""One picture set measured on every side, round by round."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bench.load import generators
from bench.load.cpu import Meter, wait_until_idle
from bench.load.figures import Load, median_load, ratio
from bench.load.generators import Target
from bench.load.pictures import PictureSet
from bench.load.published import Published, http_body
from bench.load.raw import Raw
from bench.load.rpc import call_bytes, closed_load
from client.pipeline.wire import faces_in
from paddle_fence.messages import pipeline_messages
from runtime.launch import Service

LEVELS = (1, 2, 4, 8, 16, 32)
AS_GOOD = 0.98  # of the highest rate; a lower concurrency that reaches it is preferred
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """seconds: of a measured run. runs: rounds. threads: of the raw side. levels: concurrency.

    http, grpc: sides that are measured. generator: for HTTP.
    """

    seconds: float
    runs: int
    threads: int
    levels: Sequence[int]
    http: bool
    grpc: bool
    generator: str
    rpc_generator: str


@dataclass
class SetResult:
    """Of one set. rising: runs at each concurrency. rounds: side to its runs, one a round."""

    pictures: PictureSet
    rising: list[Load] = field(default_factory=list)
    rounds: dict[str, list[Load]] = field(default_factory=dict)
    latency: dict[str, Any] = field(default_factory=dict)

    def rates(self, side: str) -> list[float]:
        return [load.qps for load in self.rounds.get(side, [])]

    def medians(self) -> dict[str, Load]:
        """The median run of each side."""
        return {side: median_load(loads) for side, loads in self.rounds.items() if loads}

    def ratios(self) -> dict[str, float | None]:
        """`HTTP/raw` and so on, medians over the rounds."""
        wanted: dict[str, float | None] = {}
        for side in ("HTTP", "gRPC"):
            for base in ("raw", *(s for s in self.rounds if s.startswith("published"))):
                if side in self.rounds and base in self.rounds:
                    wanted[f"{side}/{base}"] = ratio(self.rates(side), self.rates(base))
        return wanted

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "set": self.pictures.name,
            "title": self.pictures.title,
            "faces": self.pictures.faces,
            "rising": [load.to_dict() for load in self.rising],
            "rounds": {side: [x.to_dict() for x in loads] for side, loads in self.rounds.items()},
            "median": {side: load.to_dict() for side, load in self.medians().items()},
            "ratios": self.ratios(),
            "latency": self.latency,
        }


def target_of(service: Service, pictures: PictureSet) -> Target:
    """What is sent to the service, after one request over each interface has shown that it works.

    Raises RuntimeError where an answer has an error or other faces than the set promises.
    """
    messages = pipeline_messages()
    keys, values = pictures.key_values()
    message = messages.Request(key=keys, value=values).SerializeToString()
    body = pictures.http_body()
    with urllib.request.urlopen(urllib.request.Request(service.url, body)) as answer:  # noqa: S310
        content = json.load(answer)
    check_answer(content.get("err_no", 0), content.get("value") or [], pictures)
    data = call_bytes(service.address, message)
    response = messages.Response.FromString(data)
    check_answer(response.err_no, response.value, pictures)
    return Target(service.url, service.address, body, message, len(data))


def check_answer(err_no: int, values: Sequence[str], pictures: PictureSet) -> None:
    """Raise RuntimeError unless the answer has exactly the faces of the set."""
    if err_no or not values:
        raise RuntimeError(f"{pictures.name}: the service answers with error {err_no}")
    faces = faces_in(values[0])
    if faces != pictures.faces:
        raise RuntimeError(f"{pictures.name}: {faces} faces instead of {pictures.faces}")


class Session:
    """Measures sets. The service is started but idle while the raw side runs."""

    def __init__(
        self, plan: Plan, raw: Raw, service: Service, pids: Mapping[str, int], say: Say
    ) -> None:
        self._plan = plan
        self._raw = raw
        self._service = service
        self._pids = dict(pids)
        self._say = say

    def measure(self, pictures: PictureSet, published: Mapping[str, Published]) -> SetResult:
        """Best batch and best concurrency first, then the rounds."""
        plan = self._plan
        result = SetResult(pictures)
        target = target_of(self._service, pictures)
        self._say(f"{pictures.title}: the raw side's best batch size")
        batch = self._raw.best_batch(pictures, plan.threads, max(plan.seconds / 2, 0.5))
        turns: dict[str, Callable[[], Load]] = {"raw": partial(self._run_raw, pictures, batch)}
        for side, load in self._sides(target).items():
            best = self._rise(side, load, result)
            turns[side] = partial(self._metered, self._pids, partial(load, best))
        for name, one in published.items():
            stock = Target(one.url, one.address, http_body(pictures), b"")
            turns[name] = partial(self._run_published, name, stock, one.pid)
        for number in range(plan.runs):
            for name, turn in turns.items():
                self._say(f"{pictures.title}: round {number + 1} of {plan.runs}, {name}")
                result.rounds.setdefault(name, []).append(turn())
        return result

    def latency(self, result: SetResult) -> None:
        """One client at a time against one raw thread; fills `result.latency`."""
        target = target_of(self._service, result.pictures)
        rounds: dict[str, list[Load]] = {}
        for number in range(self._plan.runs):
            self._say(f"{result.pictures.title}: latency, round {number + 1} of {self._plan.runs}")
            wait_until_idle(self._pids)
            raw = self._raw.measure(result.pictures, 1, 1, self._plan.seconds)
            rounds.setdefault("raw", []).append(raw)
            for side, load in self._sides(target).items():
                rounds.setdefault(side, []).append(load(1))
        for side, loads in rounds.items():
            p50 = [load.latency_ms.get("p50") for load in loads]
            base = [load.latency_ms.get("p50") for load in rounds["raw"]]
            result.latency[side] = {**median_load(loads).latency_ms, "ratio": ratio(p50, base)}

    def capacity(self, pictures: PictureSet) -> float:
        """Requests a second over gRPC at saturation, median of the rounds."""
        result = SetResult(pictures)
        load = self._sides(target_of(self._service, pictures))["gRPC"]
        best = self._rise("gRPC", load, result)
        return median_load([load(best) for _ in range(self._plan.runs)]).qps

    def _sides(self, target: Target) -> dict[str, Callable[[int], Load]]:
        """What loads the service at a concurrency, for each interface that is measured."""
        plan = self._plan
        sides: dict[str, Callable[[int], Load]] = {}
        if plan.http:
            sides["HTTP"] = partial(generators.http_load, plan.generator, target, plan.seconds)
        if plan.grpc and plan.rpc_generator == "h2load":
            sides["gRPC"] = partial(generators.grpc_load, target, plan.seconds)
        elif plan.grpc:
            sides["gRPC"] = partial(closed_load, target.address, target.message, plan.seconds)
        return sides

    def _rise(self, side: str, load: Callable[[int], Load], result: SetResult) -> int:
        """The concurrency with the highest rate; a smaller one that is as good is preferred."""
        found = []
        for level in self._plan.levels:
            self._say(f"{result.pictures.title}: {side}, {level} at a time")
            found.append(self._metered(self._pids, partial(load, level)))
        result.rising += found
        return best_level(found)

    def _run_raw(self, pictures: PictureSet, batch: int) -> Load:
        plan = self._plan
        wait_until_idle(self._pids)
        run = partial(self._raw.measure, pictures, plan.threads, batch, plan.seconds)
        return self._metered({"raw": self._raw.pid, **self._pids}, run)

    def _run_published(self, name: str, target: Target, pid: int) -> Load:
        """The better one of two concurrencies: it must not look worse than it is."""
        plan = self._plan
        load = partial(generators.http_load, plan.generator, target, plan.seconds)
        wait_until_idle(self._pids)
        runs = [self._metered({"published": pid}, partial(load, level)) for level in (8, 16)]
        best = max(runs, key=lambda run: run.qps)
        best.side = name
        return best

    @staticmethod
    def _metered(pids: Mapping[str, int], run: Callable[[], Load]) -> Load:
        meter = Meter(pids)
        load = run()
        load.cores = meter.cores()
        return load


def best_level(rising: Sequence[Load]) -> int:
    """The concurrency with the highest rate; a smaller one that is as good is preferred."""
    most = max(load.qps for load in rising)
    return next(load.concurrency for load in rising if load.qps >= AS_GOOD * most)
