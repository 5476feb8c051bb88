"""A thin gRPC client in a process of its own: open loop at random times, or closed loop.

``python -m bench.load.rpc`` reads one JSON object with the fields of `Job` from standard input and
writes one with those of `Calls`. It sends bytes that were serialised before, and of an answer it
reads no more than its length: what it costs is grpcio's C core and a callback.
"""

from __future__ import annotations

import base64
import itertools
import json
import random
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc

from bench.load.figures import Load, latencies_ms, steady_rate
from paddle_fence.messages import METHOD
from runtime.tethered_child import ROOT

TIMEOUT_S = 60.0
OK = "OK"
_LIMIT = 256 * 1024 * 1024
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", _LIMIT),
    ("grpc.max_receive_message_length", _LIMIT),
    ("grpc.enable_http_proxy", 0),
    # Channels of one process share a connection unless told not to.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass
class Job:
    """What to send: either rate or concurrency is above 0.

    message: base64 of the serialised request. rate: arrivals a second, at exponentially
    distributed distances from `seed`. concurrency: requests at a time. connections: they are
    spread over; of several replicas each has some connections only.
    """

    address: str
    message: str
    seconds: float
    rate: float = 0.0
    concurrency: int = 0
    seed: int = 0
    connections: int = 1


@dataclass
class Calls:
    """One entry a request, in order of completion.

    starts: seconds from the run's start, for arrivals the time at which the request was due.
    codes: of gRPC.
    """

    starts: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    def latencies(self, code: str | None = OK) -> list[float]:
        """Seconds of the requests that ended with `code`; None: with any other than OK."""
        return [
            took
            for took, got in zip(self.took, self.codes)
            if (got == code if code is not None else got != OK)
        ]

    def rate(self, seconds: float) -> float:
        """Good answers a second, see `steady_rate`."""
        good = (s + t for s, t, code in zip(self.starts, self.took, self.codes) if code == OK)
        return steady_rate(list(good), 0.0, seconds)


def open_channel(address: str) -> Any:
    """A channel to HOST:PORT of this machine."""
    channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
    grpc.channel_ready_future(channel).result(timeout=30.0)
    return channel


def call_bytes(address: str, message: bytes) -> bytes:
    """The answer to one call, as it came. Raises grpc.RpcError."""
    with open_channel(address) as channel:
        answer: bytes = channel.unary_unary(METHOD)(message, timeout=TIMEOUT_S)
        return answer


class _Client:
    def __init__(self, job: Job) -> None:
        self._job = job
        self._message = base64.b64decode(job.message)
        self._channels = [open_channel(job.address) for _ in range(max(job.connections, 1))]
        self._calls = itertools.cycle([one.unary_unary(METHOD) for one in self._channels])
        self._under_way = threading.Semaphore(0)
        self.calls = Calls()

    def send(self, due: float, zero: float, again: bool) -> None:
        future = next(self._calls).future(self._message, timeout=TIMEOUT_S)

        def done(ended: Any) -> None:
            now = time.perf_counter()
            self.calls.starts.append(due - zero)
            self.calls.took.append(now - due)
            self.calls.codes.append(ended.code().name)
            if again and now - zero < self._job.seconds:
                self.send(now, zero, again)
            else:
                self._under_way.release()

        future.add_done_callback(done)

    def closed(self) -> None:
        zero = time.perf_counter()
        for _ in range(self._job.concurrency):
            self.send(zero, zero, True)
        self._wait(self._job.concurrency)

    def open(self) -> None:
        gaps = random.Random(self._job.seed)  # noqa: S311 - reproducible arrivals
        zero = due = time.perf_counter()
        sent = 0
        while True:
            due += gaps.expovariate(self._job.rate)
            if due - zero > self._job.seconds:
                break
            time.sleep(max(due - time.perf_counter(), 0.0))
            self.send(due, zero, False)
            sent += 1
        self._wait(sent)

    def _wait(self, count: int) -> None:
        for _ in range(count):
            self._under_way.acquire()
        for channel in self._channels:
            channel.close()


def run(job: Job) -> Calls:
    """Do it in this process."""
    client = _Client(job)
    if job.rate > 0:
        client.open()
    else:
        client.closed()
    return client.calls


def run_apart(job: Job) -> Calls:
    """Do it in a process of its own, whose start is not part of the run."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.load.rpc"],
        cwd=ROOT,
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the gRPC client ended with status {done.returncode}")
    return Calls(**json.loads(done.stdout))


def closed_load(
    address: str, message: bytes, seconds: float, concurrency: int, connections: int = 1
) -> Load:
    """Calls as fast as answers come, `concurrency` at a time."""
    text = base64.b64encode(message).decode("ascii")
    job = Job(address, text, seconds, concurrency=concurrency, connections=connections)
    calls = run_apart(job)
    good = calls.latencies()
    errors = len(calls.codes) - len(good)
    rate = calls.rate(seconds)
    return Load("gRPC", concurrency, rate, latencies_ms(good), errors, "grpcio")


if __name__ == "__main__":
    json.dump(asdict(run(Job(**json.load(sys.stdin)))), sys.stdout)
