"""Starting and ending the published layout (`bench/published/service.py`) on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from bench.load.pictures import PictureSet
from inference.manifest import Manifest
from runtime.process import PARENT, child_environment, die_with_parent

NAME = "Published"
OP = "Recognition"
FETCH = "embedding"
WORKERS = 10  # threads of the gRPC server, as in the example
START_TIMEOUT_S = 120.0
END_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Layout:
    """Settings of the one op. processes: op processes. one_dnn: with it, and one math thread."""

    title: str
    processes: int
    one_dnn: bool


LAYOUTS = {
    # As the example's file stands, on the CPU.
    "example": Layout("published", 8, False),
    # The best that this layout can do here: the engine's settings of this project's own stages.
    "tuned": Layout("published, tuned", os.cpu_count() or 1, True),
}


@dataclass(frozen=True)
class Published:
    """A running service. pid: of the main process."""

    pid: int
    url: str
    address: str


def settings(model: Path, rpc_port: int, http_port: int, layout: Layout) -> dict[str, Any]:
    """The example's settings, on the CPU and without its profiling, which would cost more."""
    local = {
        "client_type": "local_predictor",
        "model_config": str(model / "serving_server"),
        "fetch_list": [FETCH],
        "devices": "",
        "ir_optim": True,
    }
    if layout.one_dnn:
        local.update(use_mkldnn=True, thread_num=1)
    return {
        "rpc_port": rpc_port,
        "http_port": http_port,
        "worker_num": WORKERS,
        "build_dag_each_worker": False,
        "dag": {
            "is_thread_op": False,
            "retry": 10,
            "use_profile": False,
            "tracer": {"interval_s": 10},
        },
        "op": {OP: {"concurrency": layout.processes, "local_service_conf": local}},
    }


def http_body(pictures: PictureSet) -> bytes:
    """The request: a key of its own for each picture, the first is `image`."""
    keys = [f"image{number or ''}" for number in range(len(pictures.pictures))]
    return json.dumps({"key": keys, "value": list(pictures.pictures)}).encode()


def become_child() -> None:
    """End with the benchmark, and let every process that is forked from here end with this one.

    Paddle Serving's Manager, op processes and gateway outlive a main process that is killed.
    """
    die_with_parent()
    os.environ.pop(PARENT, None)
    os.register_at_fork(after_in_child=die_with_parent)


@contextlib.contextmanager
def started(model: Path, ports: tuple[int, int], layout: Layout) -> Iterator[Published]:
    """The service of a recognition model; all its processes are gone when the block is left.

    ports: gRPC and HTTP. Raises RuntimeError if it does not start.
    """
    rpc_port, http_port = ports
    side = Manifest.load(model).input("image").shape[-1]
    with tempfile.TemporaryDirectory(prefix="bench-published-") as folder:
        file = Path(folder, "settings.yml")
        file.write_text(yaml.safe_dump(settings(model.resolve(), rpc_port, http_port, layout)))
        log = Path(folder, "output.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.published.service", str(file), str(side)],
                # Paddle Serving writes its logs and its list of processes where it is started.
                cwd=folder,
                env={**child_environment(), "GLOG_minloglevel": "2"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            service = Published(
                process.pid,
                f"http://127.0.0.1:{http_port}/{NAME}/prediction",
                f"127.0.0.1:{rpc_port}",
            )
            _wait_until_ready(service, process, log, 2 * layout.processes)
            yield service
        finally:
            _end(process)


def _wait_until_ready(
    service: Published, process: subprocess.Popen[bytes], log: Path, requests: int
) -> None:
    """Until it has answered so many requests that each op process should have had some."""
    from bench.load.pictures import make_sets

    body = http_body(make_sets(["aligned"])[0])
    give_up = time.monotonic() + START_TIMEOUT_S
    answered = 0
    while answered < requests:
        if process.poll() is not None or time.monotonic() > give_up:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise RuntimeError(f"the published layout did not start:\n{said}")
        try:
            request = urllib.request.Request(service.url, body)  # noqa: S310 - our own address
            with urllib.request.urlopen(request, timeout=30.0) as answer:  # noqa: S310
                content = json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            time.sleep(0.2)
            continue
        if content.get("err_no"):
            raise RuntimeError(f"the published layout answers with an error: {content}")
        answered += 1


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the main process and wait until all that it has started are gone."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=END_TIMEOUT_S)
    for one in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(alive, timeout=END_TIMEOUT_S)
