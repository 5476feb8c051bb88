"""Fixtures of more than one folder: models, services that tests share, databases."""

from __future__ import annotations

import gc
import os
import signal
import tempfile

# Paddle Serving makes its log directory where it is imported.
os.environ.setdefault("SERVING_LOG_PATH", tempfile.mkdtemp(prefix="face-serving-"))
os.environ.setdefault("GLOG_minloglevel", "2")
# Between fork and exec of a process that a test starts, gRPC would start its poller anew, which
# then complains into that process's output about descriptors that are closed for it.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# A shell has what it starts in the background ignore Ctrl-C, and that is passed on to every program
# that a test starts and interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import HealthCheck, settings

from settings.config import ConfigError, load_config
from tests.support.certificates import share_certificates
from tests.support.gateway.fixtures import access_service  # noqa: F401 - a fixture
from tests.support.libraries.databases import (  # noqa: F401 - fixtures
    mariadb,
    open_store,
    postgresql,
)
from tests.support.selection import Scheduling, longest_first, starts_server
from tests.support.service import Service

# `make test` tries the same examples every time, however busy the machine is; `make fuzz` looks for
# new ones and keeps those that failed.
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("test", derandomize=True, database=None, **_PATIENT)
settings.register_profile("fuzz", max_examples=1000, print_blob=True, **_PATIENT)
settings.load_profile("test")
share_certificates()
# A worker, and the services and database servers that it starts.
WORKER_BYTES = 3 << 30


def pytest_addoption(parser: pytest.Parser) -> None:
    words = "leave out what starts a service, a database server or a browser, or is slow"
    parser.addoption("--fast", action="store_true", help=words)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    if config.option.fast:
        left_out = [
            item for item in items if item.get_closest_marker("slow") or starts_server(item)
        ]
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]
    if hasattr(config, "workerinput"):
        longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage meanwhile, and later not among what is made here.

    Next to all of it, modules and tests, stays until the end. To look through it takes a third of a
    second, whenever it is done: pytest does so five times at its end.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two workers a core, as half of the time they wait; as many as the memory is enough for."""
    cores = len(os.sched_getaffinity(0))
    if config.option.fast:
        return cores
    return max(1, min(2 * cores, psutil.virtual_memory().available // WORKER_BYTES))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling | None:
    return Scheduling(config, log) if config.option.dist == "loadfile" else None


ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def models() -> Path:
    """The directory of converted models; `make test` has made them."""
    config = load_config(ROOT / "config.yml")
    try:
        for stage in config.op:
            config.chosen_models(stage)
    except ConfigError as error:
        pytest.skip(f"models have not been converted: {error}")
    return ROOT / "models"


@pytest.fixture(scope="session")
def service(models, tmp_path_factory):
    """The service with the settings of config.yml, started once."""
    running = Service(tmp_path_factory.mktemp("service"), gateway=True, whole=True).start()
    yield running
    running.kill()


@pytest.fixture
def make_service(models, tmp_path):
    """Start further services; all are gone when the test ends."""
    made: list[Service] = []

    def make(
        change=None, start=True, ready=True, gateway=False, role="all", whole=False
    ) -> Service:
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Service(directory, change, gateway, role, whole))
        if start:
            made[-1].start(ready)
        return made[-1]

    yield make
    for one in made:
        one.kill()
