"""Which tests start servers, and which files are begun first: told from the code, not by lists.

A test starts a server when its function, a fixture that it asks for, or a function of the tests
that one of these names, names one of `STARTERS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from bench.kills.database_server import Server
from bench.load.raw import Raw
from library.index.milvus.connection import MilvusConnection
from library.index.milvus.index import MilvusIndex
from runtime.launch import started
from tests.support.gateway.alone import LoneGateway
from tests.support.libraries.milvus_server import MilvusServer
from tests.support.libraries.peer import Peer
from tests.support.libraries.writer import start_writer
from tests.support.processes.command_server import Commands
from tests.support.processes.prometheus import Prometheus
from tests.support.service import Service
from tests.support.tenants import Tenants

# Servers, and processes that have to import everything.
STARTERS = (
    Service, LoneGateway, Server, MilvusServer, MilvusConnection, MilvusIndex,
    Commands, Peer, Prometheus, Raw, Tenants, started, start_writer,
)  # fmt: skip
_CLASSES = tuple(one for one in STARTERS if isinstance(one, type))
_STARTING = tuple(one for one in STARTERS if not isinstance(one, type))
# Files that are one worker's, by what they share: each worker that has one of them starts it.
_OF_ONE_WORKER = {
    "Milvus": ("tests/library/index/test_milvus", "tests/deploy/check/test_milvus"),
    "databases": ("tests/library/store/",),
    "access_service": (
        "tests/gateway/api/test_apps", "tests/gateway/api/test_keys",
        "tests/gateway/auth/test_audit_attacks", "tests/gateway/clients/",
        "tests/gateway/security/test_clients", "tests/gateway/security/test_keys_and_logs",
        "tests/gateway/security/test_pictures", "tests/gateway/security/test_requests",
        "tests/service/test_attack_places", "tests/service/test_attack_trust",
    ),
}  # fmt: skip
# Seconds, roughly, that a test takes; only the order of the files depends on them.
_SLOW_S, _OWN_SERVER_S, _SHARED_SERVER_S, _OTHER_S = 15.0, 8.0, 0.3, 0.05


def starts_server(item: pytest.Function) -> bool:
    """Whether a test starts a server or asks one that others have started."""
    return any(_reaches_a_starter(function) for function, _ in _functions(item))


def _functions(item: pytest.Function) -> Iterator[tuple[Any, bool]]:
    """A test's function and its fixtures', and whether it shares with others what one makes."""
    yield item.function, False
    # Some fixtures are got by name, which is a parameter of the test or stands in its code.
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    asked = [value for value in parameters if isinstance(value, str)]
    if "getfixturevalue" in _names(item.function.__code__):
        asked += _texts(item.function.__code__.co_consts)
    for name in (*item.fixturenames, *asked):
        for definition in item.session._fixturemanager.getfixturedefs(name, item) or ():
            yield definition.func, definition.scope != "function"


def _reaches_a_starter(function: Any) -> bool:
    return isinstance(function, FunctionType) and _reaches(function)


@cache
def _reaches(function: FunctionType) -> bool:
    seen, waiting = {function}, [function]
    while waiting:
        one = waiting.pop()
        for value in map(one.__globals__.get, _names(one.__code__)):
            if isinstance(value, type) and issubclass(value, _CLASSES):
                return True
            if not isinstance(value, FunctionType) or value in seen:
                continue
            if value in _STARTING:
                return True
            if value.__module__.startswith("tests."):
                seen.add(value)
                waiting.append(value)
    return False


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _texts(constants: Iterable[Any]) -> Iterator[str]:
    for constant in constants:
        if isinstance(constant, str):
            yield constant
        elif isinstance(constant, tuple | CodeType):
            yield from _texts(constant if isinstance(constant, tuple) else constant.co_consts)


def longest_first(items: list[pytest.Function]) -> None:
    """Order the files by how long they may take, so that no worker is left with a long one."""
    seconds: dict[str, float] = {}
    for item in items:
        seconds[scope(item.nodeid)] = seconds.get(scope(item.nodeid), 0.0) + _seconds(item)
    items.sort(key=lambda item: -seconds[scope(item.nodeid)])


def _seconds(item: pytest.Function) -> float:
    if item.get_closest_marker("slow"):
        return _SLOW_S
    starting = [shared for function, shared in _functions(item) if _reaches_a_starter(function)]
    if not all(starting):
        return _OWN_SERVER_S
    return _SHARED_SERVER_S if starting else _OTHER_S


def scope(nodeid: str) -> str:
    """What one worker does as a whole: a file, or the files that share a costly server."""
    file = nodeid.split("::", 1)[0]
    return next((name for name, some in _OF_ONE_WORKER.items() if file.startswith(some)), file)


class Scheduling(LoadFileScheduling):
    """pytest-xdist's ``--dist loadfile`` with what :func:`scope` calls a file."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)
