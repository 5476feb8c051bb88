"""A real Milvus server on free ports, for tests: the one that the PyPI package `milvus` brings.

Its own environment is made once (.venv-milvus). What the package itself would do, which is to look
for ports, is left to this module, so that several test runs on a machine do not meet.
"""

from __future__ import annotations

import itertools
import lzma
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from convert.environment import ROOT, environment_python
from convert.errors import UnreachableError
from library.index.milvus.connection import REQUEST, MilvusConnection
from library.index.milvus.index import MilvusIndex
from library.index.vector_index import Collection
from runtime.ports import unused_ports
from runtime.process import die_with_parent

ENVIRONMENT = ROOT / ".venv-milvus"
LOCK_FILE = ROOT / "requirements-milvus.lock"
START_S = 90
USER_TOKEN = "root:Milvus"  # what a new server with accounts begins with
_SERVICES = ("rootCoord", "dataCoord", "queryCoord", "indexCoord", "queryNode", "dataNode")
# The processes' sessions in the server's own registry. A machine that stands still for longer ends
# them, and the server with them.
PATIENT_S, HASTY_S = 600, 15
# The first that it can write; no setting leads elsewhere.
_PID_FOLDERS = (Path("/run/milvus"), Path("/tmp/milvus"))


def installed_server() -> Path:
    """The directory with the server's program and libraries; skips where there is none."""
    try:
        python = environment_python(ENVIRONMENT, LOCK_FILE, "a Milvus server for the tests")
    except UnreachableError as error:
        pytest.skip(str(error))
    packed = next(python.parents[1].glob("lib/python3.*/site-packages/milvus/data/bin"))
    programs = ENVIRONMENT / "server"
    programs.mkdir(exist_ok=True)
    for source in packed.glob("*.lzma"):
        target = programs / source.stem
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.{os.getpid()}")
            unfinished.write_bytes(lzma.decompress(source.read_bytes()))
            unfinished.chmod(0o755)
            unfinished.rename(target)
    return programs


class MilvusServer:
    """A standalone server that keeps its data in `directory`.

    session_s: after so long without a sign of life a part of the server counts as dead; a server
        that was killed waits so long when it comes back.
    accounts: whether it asks for a token.
    """

    def __init__(self, directory: Path, session_s: int = PATIENT_S, accounts: bool = False) -> None:
        self._programs = installed_server()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        ports = unused_ports(len(_SERVICES) + 6)
        self.port, self._health_port = ports[:2]
        (directory / "configs").mkdir(parents=True)
        (directory / "logs").mkdir()
        (directory / "configs" / "glog.conf").write_text("--minloglevel=2\n--log_dir=logs/\n")
        self._write("etcd.yaml", _registry_settings(ports[2], ports[3]))
        self._write("milvus.yaml", self._settings(ports[4:], session_s, accounts))

    def _write(self, name: str, settings: dict[str, Any]) -> None:
        (self._directory / "configs" / name).write_text(yaml.safe_dump(settings))

    def _settings(self, ports: list[int], session_s: int, accounts: bool) -> dict[str, Any]:
        here = self._directory
        settings: dict[str, Any] = {
            "etcd": {
                "use": {"embed": True},
                "rootPath": "by-test",
                "data": {"dir": str(here / "etcd")},
                "config": {"path": str(here / "configs" / "etcd.yaml")},
                "log": {"path": str(here / "logs" / "etcd.log"), "level": "warn"},
            },
            "localStorage": {"path": str(here / "data")},
            "rocksmq": {"path": str(here / "rocksmq")},
            "mq": {"type": "rocksmq"},
            "log": {"level": "warn"},
            "common": {
                "storageType": "local",
                "session": {"ttl": session_s},
                "security": {"authorizationEnabled": accounts},
            },
            "proxy": {
                "ip": "127.0.0.1",
                "port": self.port,
                "internalPort": ports[0],
                "http": {"enabled": False},
            },
            "indexNode": {"ip": "127.0.0.1", "port": ports[1]},
        }
        for service, port in zip(_SERVICES, ports[2:]):
            settings[service] = {"ip": "127.0.0.1", "port": port}
        # A new collection is there in half a second then, instead of three.
        settings["queryCoord"].update(checkInterval=100, distPullInterval=100)
        return settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> MilvusServer:
        """Start it and wait until it says that it is healthy; skips where it does not get there."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "LD_LIBRARY_PATH": str(self._programs),
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health_port),
        }
        with (self._directory / "logs" / "output").open("ab") as output:
            # The alias names the file with its process id, which is the machine's otherwise.
            self._process = subprocess.Popen(
                [str(self._programs / "milvus"), "run", "standalone", f"-alias=test-{self.port}"],
                cwd=self._directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
            )
        end = time.monotonic() + START_S
        while not self._is_healthy():
            if not self.runs() or time.monotonic() > end:
                self.kill()
                pytest.skip(f"the Milvus server does not start: {self._last_output()}")
            time.sleep(0.1)
        return self

    def _is_healthy(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._health_port}/healthz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.read().strip() == b"OK")
        except (OSError, urllib.error.URLError):
            return False

    def _last_output(self) -> str:
        lines = (self._directory / "logs" / "output").read_text(errors="replace").splitlines()
        return lines[-1][:300] if lines else "no output"

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL: it has no time for anything."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            for folder in _PID_FOLDERS:
                (folder / f"standalone-test-{self.port}.pid").unlink(missing_ok=True)


def _registry_settings(client_port: int, peer_port: int) -> dict[str, Any]:
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return {
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
    }


# Of every index that a test opens, so that none meets another's.
_APPS = itertools.count(2)  # the first one is shared
DIM = 16


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A server that all tests share."""
    server = MilvusServer(tmp_path_factory.mktemp("milvus") / "server").start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def milvus_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A file of Milvus Lite that all tests share."""
    file = str(tmp_path_factory.mktemp("milvus-lite") / "faces.db")
    connection = MilvusConnection.open(file)  # Lite's process ends with the last connection
    connection.call(lambda: None)
    yield file
    connection.close()


@pytest.fixture(params=["server", "lite"])
def milvus_place(request: pytest.FixtureRequest) -> str:
    """Where an index is to be: on a server, and in Milvus Lite's file."""
    if request.param == "lite":
        return str(request.getfixturevalue("milvus_file"))
    return str(request.getfixturevalue("milvus_server").url)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that a busy machine keeps from answering is waited for."""
    monkeypatch.setitem(REQUEST, "timeout", 120.0)


@pytest.fixture
def open_index() -> Iterator[Callable[..., MilvusIndex]]:
    """Opens indexes, each of a new app unless one is named; all are closed when the test ends."""
    opened: list[MilvusIndex] = []

    def open_(place: str, *, app: int = 0, dim: int = DIM, **options: Any) -> MilvusIndex:
        collection = Collection(app or next(_APPS), "a-model", dim, origin="the-first")
        opened.append(MilvusIndex(collection, place, **options))
        return opened[-1]

    yield open_
    for index in opened:
        index.close()


@pytest.fixture(scope="session")
def shared_indexes() -> Iterator[dict[str, MilvusIndex]]:
    """Indexes by their place: a server takes three seconds for a new one."""
    indexes: dict[str, MilvusIndex] = {}
    yield indexes
    for index in indexes.values():
        index.close()


@pytest.fixture
def index(milvus_place: str, shared_indexes: dict[str, MilvusIndex]) -> Iterator[MilvusIndex]:
    """An empty index, in each place in turn."""
    yield from _emptied(milvus_place, shared_indexes)


@pytest.fixture
def lite_index(milvus_file: str, shared_indexes: dict[str, MilvusIndex]) -> Iterator[MilvusIndex]:
    """An empty index in Milvus Lite, for what is the same in each place."""
    yield from _emptied(milvus_file, shared_indexes)


def _emptied(place: str, indexes: dict[str, MilvusIndex]) -> Iterator[MilvusIndex]:
    if place not in indexes:
        indexes[place] = MilvusIndex(Collection(1, "a-model", DIM, "the-first"), place)
    index = indexes[place]
    yield index
    left = index.ids()
    if len(left):
        index.remove(left, index.version + 1)
