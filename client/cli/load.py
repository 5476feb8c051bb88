"""Sending many requests: threads, progress, and what came of it in figures."""

from __future__ import annotations

import collections
import queue
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from client.errors import ClientError, UnreachableError
from client.pictures import Picture
from client.pipeline.answer import Answer, Options
from client.pipeline.transport import Transport

MAX_CONCURRENCY = 256
MAX_REPEAT = 1_000_000
PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Outcome:
    """One request. turn: 0 for a picture's first time. seconds: None where nothing was sent.

    error: why there is no answer, or what the service says is wrong with the picture.
    """

    picture: Picture
    turn: int
    seconds: float | None
    answer: Answer | None = None
    error: ClientError | None = None


@dataclass
class Summary:
    """What a run came to. latencies: seconds of the requests that were answered without error.

    interrupted: stopped by Ctrl-C. unreachable: stopped because nobody listens any more.
    """

    planned: int
    seconds: float = 0.0
    faces: int = 0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    errors: collections.Counter[str] = field(default_factory=collections.Counter)
    interrupted: bool = False
    unreachable: UnreachableError | None = None

    @property
    def answered(self) -> int:
        """Requests that got an answer without error."""
        return len(self.latencies)

    @property
    def failed(self) -> int:
        """Requests that got none, or one that says what is wrong with the picture."""
        return sum(self.errors.values())

    @property
    def qps(self) -> float:
        """Answers without error per second of the whole run."""
        return self.answered / self.seconds if self.seconds > 0 else 0.0

    def add(self, outcome: Outcome) -> None:
        """Counts one request."""
        if isinstance(outcome.error, UnreachableError):
            self.unreachable = outcome.error
        if outcome.error is not None:
            self.errors[outcome.error.code] += 1
        elif outcome.answer is not None and outcome.seconds is not None:
            self.latencies.append(outcome.seconds)
            self.faces += len(outcome.answer.image.faces)

    def latency_ms(self) -> dict[str, float]:
        """mean, p50, p90, p99 and max in milliseconds; empty without an answer."""
        if not self.latencies:
            return {}
        values = np.frombuffer(self.latencies, np.float64) * 1e3
        named = {"mean": float(values.mean())}
        for percent, value in zip(PERCENTILES, np.percentile(values, PERCENTILES)):
            named[f"p{percent}"] = float(value)
        named["max"] = float(np.max(values))
        return named

    def to_dict(self) -> dict[str, Any]:
        """The figures, JSON-ready."""
        return {
            "planned": self.planned,
            "answered": self.answered,
            "failed": self.failed,
            "errors": dict(self.errors),
            "faces": self.faces,
            "seconds": round(self.seconds, 3),
            "qps": round(self.qps, 2),
            "latency_ms": {name: round(value, 3) for name, value in self.latency_ms().items()},
            "interrupted": self.interrupted,
        }


def send_one(transport: Transport, picture: Picture, options: Options, turn: int = 0) -> Outcome:
    """Sends a picture and never raises ClientError: what went wrong is in the outcome.

    The time runs from the request's start to the answer's last byte read and understood.
    """
    try:
        encoded = picture.base64()
    except ClientError as error:
        return Outcome(picture, turn, None, error=error)
    started = time.perf_counter()
    try:
        answer = transport.predict(encoded, options)
    except ClientError as error:
        return Outcome(picture, turn, time.perf_counter() - started, error=error)
    return Outcome(picture, turn, time.perf_counter() - started, answer, answer.image.error)


class LoadRun:
    """Every picture ``repeat`` times, in turn, from ``concurrency`` threads.

    Memory is bounded: threads take the next request from one counter, and outcomes pass through
    a short queue. The run stops early on Ctrl-C and when the service is not there.
    """

    def __init__(
        self,
        transport: Transport,
        pictures: Sequence[Picture],
        options: Options,
        repeat: int = 1,
        concurrency: int = 1,
    ):
        self._transport = transport
        self._options = options
        self._jobs: Iterator[tuple[int, Picture]] = iter(
            (turn, picture) for turn in range(repeat) for picture in pictures
        )
        self._jobs_lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = min(concurrency, repeat * len(pictures))
        self._outcomes: queue.Queue[Outcome | None] = queue.Queue(4 * self._threads)
        self.summary = Summary(planned=repeat * len(pictures))

    def run(self, on_outcome: Callable[[Outcome], None]) -> Summary:
        """Sends everything; ``on_outcome`` is called in this thread, once a request.

        After the first Ctrl-C the requests under way are still counted, a second one ends at
        once with KeyboardInterrupt.
        """
        started = time.perf_counter()
        for number in range(self._threads):
            # Daemons: a second Ctrl-C must not wait for a service that does not answer.
            threading.Thread(target=self._work, name=f"client-{number}", daemon=True).start()
        try:
            try:
                self._drain(on_outcome)
            except KeyboardInterrupt:
                self.summary.interrupted = True
                self._stop.set()
                self._drain(on_outcome)
        finally:
            self._stop.set()
            self.summary.seconds = time.perf_counter() - started
        return self.summary

    def _drain(self, on_outcome: Callable[[Outcome], None]) -> None:
        while self._threads:
            item = self._outcomes.get()
            if item is None:
                self._threads -= 1
                continue
            self.summary.add(item)
            if self.summary.unreachable is not None:
                self._stop.set()
            on_outcome(item)
        missing = self.summary.planned - self.summary.answered - self.summary.failed
        if missing and not self._stop.is_set():
            raise RuntimeError(f"{missing} requests were not sent: a thread of the client died")

    def _work(self) -> None:
        try:
            for turn, picture in iter(self._next_job, None):
                self._outcomes.put(send_one(self._transport, picture, self._options, turn))
        except Exception:
            # After the run's end the transport is closed under whoever still sends: no news.
            if not self._stop.is_set():
                raise
        finally:
            self._outcomes.put(None)

    def _next_job(self) -> tuple[int, Picture] | None:
        with self._jobs_lock:
            return None if self._stop.is_set() else next(self._jobs, None)
