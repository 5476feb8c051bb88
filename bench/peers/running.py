"""A peer's workers, started on a free port and ended with the block."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.environment import ROOT
from runtime.affinity import on_cores
from runtime.ports import unused_ports
from runtime.process import child_environment

SERVER = "bench.peers.servers.server"
START_TIMEOUT_S = 120.0
# A thread a worker: there are as many of these as cores.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Running:
    """url: where pictures are sent. pids: of the workers."""

    url: str
    pids: tuple[int, ...]


@contextlib.contextmanager
def started(
    python: str | Path, module: str, files: Mapping[str, Any], cores: Collection[int]
) -> Iterator[Running]:
    """A worker a core, each with everything loaded; they also end when this process is killed.

    python: of the peer's environment. module: what finds faces, with `load`. files: given to it.
    cores: on which they run. Raises RuntimeError, with what they said, where one does not start.
    """
    (port,) = unused_ports(1)
    command = [str(python), "-m", SERVER, module, json.dumps(dict(files)), str(port)]
    workers: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="bench-peer-") as folder:
        logs = [Path(folder, f"{number}.log") for number in range(len(cores))]
        try:
            for log in logs:
                with log.open("wb") as output, on_cores(cores):
                    workers.append(_start(command, output.fileno()))
            _wait_until_ready(workers, logs)
            url = f"http://127.0.0.1:{port}/prediction"
            yield Running(url, tuple(worker.pid for worker in workers))
        finally:
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.wait()


def _start(command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**child_environment(), **_ONE_THREAD},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        # A Ctrl-C in the terminal is for the benchmark, which ends its children then.
        start_new_session=True,
    )


def _wait_until_ready(workers: Sequence[subprocess.Popen[bytes]], logs: Sequence[Path]) -> None:
    give_up = time.monotonic() + START_TIMEOUT_S
    for worker, log in zip(workers, logs):
        while "ready" not in (said := log.read_text(errors="replace")).splitlines():
            if worker.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"a worker did not start:\n{said[-2000:].strip()}")
            time.sleep(0.05)
