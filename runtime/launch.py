"""The service started for a measurement: the project's own configuration, other ports."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runtime.affinity import on_cores
from runtime.ports import free_ports
from runtime.tethered_child import PIPE, start_child

# Longer than any request may take (limits.request_timeout_ms), which a clean end waits for.
END_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Service:
    """A running service. pid: of the process that is the parent of all others.

    url: of the HTTP interface. address: HOST:PORT of the gRPC interface.
    """

    pid: int
    url: str
    address: str


Change = Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def started(
    config: Path, change: Change | None = None, cores: Collection[int] = ()
) -> Iterator[Service]:
    """The service of ``config`` on free ports of this machine, ended when the block is left.

    It also ends when this process is killed. Without a REST gateway, unless `change` gives that a
    port. change: called with the settings, to change them.
    cores: numbers of those that it may run on, all where empty.
    Raises RuntimeError if it does not start; it has said why on standard error by then.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        copy, url, address = _on_free_ports(config.resolve(), Path(folder), change)
        with on_cores(cores):
            process = start_child(
                ["runtime.tethered", "web_service.py", "--config", str(copy)], stdout=PIPE
            )
        with process:
            try:
                _wait_until_ready(process)
                yield Service(process.pid, url, address)
            finally:
                _end(process)


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM leaves the block as an exception does, so that no service is left behind."""

    def end(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _on_free_ports(config: Path, folder: Path, change: Change | None) -> tuple[Path, str, str]:
    """A copy of the configuration that can run beside the original; its URL and address."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    settings["rpc_port"], settings["http_port"] = free_ports()
    # Relative paths start at the configuration's folder, which is another one now.
    settings["models_dir"] = str(config.parent / settings.get("models_dir", "models"))
    settings.setdefault("log", {})["dir"] = str(folder)
    settings.setdefault("gateway", {})["port"] = 0
    if change is not None:
        change(settings)
    copy = folder / "config.yml"
    copy.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    name = settings.get("name", "ArcFace")
    url = f"http://127.0.0.1:{settings['http_port']}/{name}/prediction"
    return copy, url, f"127.0.0.1:{settings['rpc_port']}"


def _wait_until_ready(process: subprocess.Popen[str]) -> None:
    if process.stdout is None:
        raise TypeError("the process was started without a pipe")
    for line in process.stdout:
        if line.startswith("ready"):
            return
    raise RuntimeError(f"the service ended with status {process.wait()} before it was ready")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
