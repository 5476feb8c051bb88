"""Two services on the same data: the second one is refused, whatever became of the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.data_lock import DataLock, data_files
from settings.config import ConfigError, load_config
from tests.support.service import ROOT, Service

pytestmark = pytest.mark.attack

# A holder with a child that lives on, as a supervisor's children do for a moment.
_HOLD = """
import subprocess, sys, time
from pathlib import Path
from runtime.data_lock import DataLock
print(DataLock([Path(name) for name in sys.argv[1:]]).take(), flush=True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


class Holder:
    """Another process that has taken the data. was_killed: what it was told of the one before."""

    def __init__(self, *files: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, *map(str, files)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.was_killed = self._process.stdout.readline().strip() == "True"
        self.child = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def hold():
    """Starts holders; all are gone when the test ends."""
    made = []

    def start(*files):
        made.append(Holder(*files))
        return made[-1]

    yield start
    for one in made:
        one.kill()
        os.kill(one.child, signal.SIGKILL)


def test_data_is_taken_once_and_free_as_soon_as_its_holder_is_killed(hold, tmp_path):
    tokens, faces = tmp_path / "data" / "tokens.db", tmp_path / "data" / "faces.db"
    first = hold(tokens, faces)
    with pytest.raises(ConfigError) as error:
        DataLock([faces]).take()
    assert str(tmp_path / "data") in str(error.value)
    assert str(first.pid) in str(error.value)
    first.kill()
    os.kill(first.child, 0)  # its child lives, and has nothing of the lock
    second = hold(tokens, faces)
    assert (first.was_killed, second.was_killed) == (False, True)
    second.kill()
    third = DataLock([tokens, faces])
    assert third.take()
    third.release()
    assert not DataLock([tokens, faces]).take(), "this end was in good order"
    assert not faces.exists(), "the lock is beside the data"


def test_services_with_data_of_their_own_do_not_meet(tmp_path):
    for name in ("one", "two"):
        assert not DataLock([tmp_path / f"{name}.db"]).take()


def test_what_a_service_has_for_itself(tmp_path):
    config = load_config(ROOT / "config.yml")
    folder = config.path.parent / "data"
    assert data_files(config) == [folder / "tokens.db", folder / "faces.db"]
    library = config.library.model_copy(update={"database": "postgresql://host/faces"})
    shared = config.model_copy(update={"library": library})
    assert data_files(shared) == [folder / "tokens.db"], "others may use the same server"
    gateway = config.gateway.model_copy(update={"port": 0})
    assert data_files(config.model_copy(update={"gateway": gateway})) == []


@pytest.mark.service
def test_a_second_service_on_the_same_data_is_refused_with_one_line(service, tmp_path):
    def share(settings):
        settings["library"]["database"] = f"sqlite:///{service.directory}/data/faces.db"

    second = Service(tmp_path, share, gateway=True)
    second.start(ready=False)
    assert second.wait() == 2
    (line,) = second.output
    assert str(service.directory / "data") in line
    assert str(service.process.pid) in line
