"""The keeper of a service, with a small program in the service's place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from deploy.tenants.processes.cgroups import Limits, make_group
from deploy.tenants.processes.state import holder, read_state
from tests.support.service import wait_until
from tests.support.tenants import ROOT

# What it does when a file with the order's name appears beside it.
STANDS_IN = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
if (folder / "wrong").exists():
    print("web_service: config.yml: colour: unknown key", file=sys.stderr, flush=True)
    sys.exit(2)
print("ready: here", flush=True)
print("x" * 200, flush=True)
held = []
while True:
    time.sleep(0.02)
    if (folder / "grow").exists():
        (folder / "grow").unlink()
        while sum(map(len, held)) < 400 << 20:
            held.append(bytearray(os.urandom(1 << 16)) * 16)
        time.sleep(60)
    if (folder / "end").exists():
        (folder / "end").unlink()
        sys.exit(3)
"""
_KEEP = """
import json, sys
from pathlib import Path
from deploy.tenants.processes.cgroups import Limits
from deploy.tenants.processes.kept import Kept
from deploy.tenants.processes.keeper import Keeper
given = json.loads(sys.argv[1])
limits = Limits(**given.pop("limits"))
paths = {key: Path(given.pop(key)) for key in ("folder", "log")}
sys.exit(Keeper(Kept(**given, **paths, limits=limits)).run())
"""
MEMORY = 200 << 20


class Kept:
    """A keeper in a process of its own, in a folder."""

    def __init__(self, folder: Path, group: str = "") -> None:
        self.folder = folder
        (folder / "service.py").write_text(STANDS_IN)
        self._group = group
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        given = {
            "folder": str(self.folder), "log": str(self.folder / "service.log"),
            "command": [str(self.folder / "service.py"), str(self.folder)],
            "limits": asdict(Limits(MEMORY, "", 0, 200)), "group": self._group,
            "cores": [min(os.sched_getaffinity(0))], "log_bytes": 10_000, "log_files": 2,
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-c", _KEEP, json.dumps(given)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @property
    def state(self):
        return read_state(self.folder)

    def order(self, name: str) -> None:
        (self.folder / name).touch()

    def becomes(self, state: str, restarts: int = 0) -> bool:
        return wait_until(lambda: self.state.state == state and self.state.restarts == restarts, 60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def kept(tmp_path):
    made = Kept(tmp_path)
    assert made.becomes("ready"), made.state
    yield made
    made.close()


def test_a_service_that_ends_is_started_again(kept):
    first = kept.state.pid
    kept.order("end")
    assert kept.becomes("ready", restarts=1), kept.state
    assert kept.state.pid != first
    assert kept.state.reason == "ended with status 3"


def test_a_service_runs_on_its_cores_only(kept):
    assert os.sched_getaffinity(kept.state.pid) == {min(os.sched_getaffinity(0))}


def test_a_service_over_its_memory_is_started_again_without_control_groups(kept):
    assert kept.state.limits == "watched"
    kept.order("grow")
    assert kept.becomes("ready", restarts=1), kept.state
    assert kept.state.reason == "took more than its memory of 200 MiB"


def test_a_service_over_its_memory_is_started_again_by_its_control_group(tmp_path):
    name = f"test-keeper-{os.getpid()}"
    group = make_group(name, Limits(MEMORY, "", 0, 200))
    if group.memory is None:
        group.remove()
        pytest.skip("this user can make no control group that limits memory")
    kept = Kept(tmp_path, name)
    try:
        assert kept.becomes("ready"), kept.state
        assert kept.state.limits.startswith("cgroup v")
        assert kept.state.pid in group.pids()
        kept.order("grow")
        assert kept.becomes("ready", restarts=1), kept.state
        assert kept.state.reason == "took more than its memory of 200 MiB"
        kept.process.terminate()
        assert kept.process.wait(60) == 0
        assert not group.memory.exists()
    finally:
        kept.close()
        group.kill()
        group.remove()


def test_sigterm_ends_both_in_good_order(kept):
    pid = kept.state.pid
    kept.process.send_signal(signal.SIGTERM)
    assert kept.process.wait(60) == 0
    assert not psutil.pid_exists(pid)
    assert (kept.state.state, holder(kept.folder)) == ("down", None)


def test_a_service_dies_with_its_keeper_and_the_next_keeper_starts_it(kept):
    pid = kept.state.pid
    assert holder(kept.folder) == kept.process.pid
    kept.close()
    assert wait_until(lambda: not psutil.pid_exists(pid), 20)
    assert kept.state.state == "killed"
    kept.process = kept.start()
    assert kept.becomes("ready"), kept.state
    assert kept.state.pid != pid


def test_after_a_kill_a_service_that_finds_the_ports_still_taken_is_tried_again(kept):
    kept.close()
    kept.order("wrong")
    kept.process = kept.start()
    assert wait_until(lambda: kept.state.restarts > 0, 60), kept.state
    (kept.folder / "wrong").unlink()
    assert wait_until(lambda: kept.state.state == "ready", 60), kept.state


def test_a_second_keeper_of_a_folder_is_refused(kept):
    second = kept.start()
    assert second.wait(60) != 0
    assert kept.state.state == "ready"
    assert holder(kept.folder) == kept.process.pid


def test_a_service_whose_settings_are_wrong_is_not_started_again_and_again(tmp_path):
    (tmp_path / "wrong").touch()
    kept = Kept(tmp_path)
    try:
        assert kept.process.wait(60) == 2
        assert (kept.state.state, kept.state.restarts) == ("failed", 0)
        assert "colour: unknown key" in (tmp_path / "service.log").read_text()
    finally:
        kept.close()


def test_what_a_service_prints_is_rotated(kept):
    log = kept.folder / "service.log"
    assert wait_until(lambda: "ready: here" in log.read_text(), 20)
    # One start writes some 300 bytes of the 10000 that a file may have.
    log.write_text("y" * 9_900 + "\n")
    kept.order("end")
    assert wait_until(lambda: (kept.folder / "service.log.1").exists(), 60)
    assert "ready: here" in log.read_text() or kept.becomes("ready", restarts=1)
