"""The raw limit: the stages' own workers on threads of one process, and nothing else.

``python -m bench.load.raw CONFIG`` reads one JSON object with the fields of `Job` a line from
standard input and answers each with a line of `Result`. Between jobs it waits and costs nothing.

A thread has workers of its own, each with clones of the predictors, and hands them requests as the
service's threads do: from base64 text to embeddings. There is no queue, no socket, no answer.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load.figures import Load, latencies_ms
from bench.load.pictures import PictureSet
from inference.runner import Timing
from ops.options import Options, parse_options
from ops.pictures.pixel_budget import PixelBudget
from ops.registry import WorkerFactory
from ops.request_state import Picture, RequestState
from ops.worker import Worker
from runtime.process import die_with_parent
from runtime.tethered_child import PIPE, end_child, pipes_of, start_child
from settings.config import load_config

BATCHES = (1, 2, 4, 8)  # requests that a thread takes at once
MAX_BATCH = 8  # model inputs a run
SKIPPED = ("Attributes", "Liveness", "Response")


@dataclass
class Job:
    """threads, each working on `batch` requests at once for `seconds`."""

    pictures: Sequence[str]
    options: str
    threads: int
    batch: int
    seconds: float


@dataclass
class Result:
    """qps: requests a second of all threads. took: seconds of each batch."""

    qps: float
    took: list[float]


class Raw:
    """The process, driven from the benchmark's. Use it in a `with` block."""

    def __init__(self, config: Path) -> None:
        environment = {
            "GLOG_minloglevel": "2",
            "OMP_NUM_THREADS": "1",
            # As the service: glibc's heaps by thread cost time when memory comes and goes.
            "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
        }
        self._process = start_child(
            ["bench.load.raw", str(config.resolve())], environment, stdin=PIPE, stdout=PIPE
        )
        self._stdin, self._stdout = pipes_of(self._process)
        self.pid = self._process.pid

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *exc_info: object) -> None:
        end_child(self._process)

    def run(self, job: Job) -> Result:
        """Raises RuntimeError when the process has ended."""
        self._stdin.write(json.dumps(asdict(job)) + "\n")
        self._stdin.flush()
        line = self._stdout.readline()
        if not line:
            raise RuntimeError(f"the raw process ended with status {self._process.wait()}")
        return Result(**json.loads(line))

    def measure(self, pictures: PictureSet, threads: int, batch: int, seconds: float) -> Load:
        """One run on a set. Latency is that of a batch."""
        result = self.run(Job(pictures.pictures, pictures.options, threads, batch, seconds))
        return Load("raw", threads, result.qps, latencies_ms(result.took), batch=batch)

    def best_batch(self, pictures: PictureSet, threads: int, seconds: float) -> int:
        """The batch size with the highest rate, tried for `seconds` each."""
        rates = {b: self.measure(pictures, threads, b, seconds).qps for b in BATCHES}
        return max(rates, key=lambda batch: rates[batch])


class _Thread:
    """A thread with workers of its own, made and used in it alone.

    oneDNN keeps its kernels by thread: a predictor that changes threads makes them all again,
    and at times fails.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._workers = list(workers)
        self._jobs: queue.Queue[tuple[Job, threading.Barrier]] = queue.Queue()
        self._results: queue.Queue[Result | Exception] = queue.Queue()
        threading.Thread(target=self._loop, daemon=True).start()

    def start(self, job: Job, together: threading.Barrier) -> None:
        self._jobs.put((job, together))

    def result(self) -> Result:
        """Of the job that was started last."""
        result = self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    def _loop(self) -> None:
        for worker in self._workers:
            worker.warm_up()
        while True:
            job, together = self._jobs.get()
            try:
                self._results.put(self._run(job, together))
            except Exception as error:  # noqa: BLE001 - raised where the result is awaited
                together.abort()
                self._results.put(error)

    def _run(self, job: Job, together: threading.Barrier) -> Result:
        options = parse_options(job.options) if job.options else Options()
        took: list[float] = []
        self._batch(job, options)  # nothing is made for the first time in what is measured
        together.wait()
        started = now = time.perf_counter()
        while now - started < job.seconds:
            self._batch(job, options)
            before, now = now, time.perf_counter()
            took.append(now - before)
        return Result(len(took) * job.batch / (now - started), took)

    def _batch(self, job: Job, options: Options) -> None:
        requests = [
            RequestState([Picture(encoded=text) for text in job.pictures], options)
            for _ in range(job.batch)
        ]
        timing = Timing()
        for worker in self._workers:
            worker.run(requests, timing)
        if not all(request.faces() for request in requests):
            raise RuntimeError("no face was found")


class _Bench:
    """The threads, made when they are first needed."""

    def __init__(self, config_path: str) -> None:
        config = load_config(config_path)
        self._names = [name for name in config.op if name not in SKIPPED]
        # As many predictors of a model at a time as threads may be asked for.
        changed = {"batch_size": MAX_BATCH, "concurrency": max(os.cpu_count() or 1, 2)}
        ops = {n: config.op[n].model_copy(update=changed) for n in self._names}
        # No request waits for another one's pixels here.
        unbounded = PixelBudget(1 << 60, 0)
        self._factory = WorkerFactory(config.model_copy(update={"op": ops}), unbounded)
        self._threads: list[_Thread] = []

    def run(self, job: Job) -> Result:
        """All threads of the job together."""
        while len(self._threads) < job.threads:
            number = len(self._threads)
            self._threads.append(_Thread([self._factory.worker(n, number) for n in self._names]))
        together = threading.Barrier(job.threads)
        used = self._threads[: job.threads]
        for thread in used:
            thread.start(job, together)
        results = [thread.result() for thread in used]
        return Result(sum(r.qps for r in results), [took for r in results for took in r.took])


def serve(config_path: str) -> None:
    """Do the jobs of standard input until it ends."""
    die_with_parent()
    bench = _Bench(config_path)
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(asdict(bench.run(Job(**json.loads(line))))) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
