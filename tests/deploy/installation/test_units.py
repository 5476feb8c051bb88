"""The units as systemd's own tools see them."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess

import pytest

from deploy.installation import units
from deploy.installation.layout import Layout, Wish
from runtime.child import START_TIMEOUT_S, WELL_S
from tests.support.service import ROOT

FOLDER = ROOT / "deploy" / "systemd"
SERVICES = sorted(path.name for path in FOLDER.glob("*.service"))
MOST_EXPOSED = 2.5


@pytest.fixture(scope="module")
def analyze():
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)

    return run


def unit(name: str) -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(strict=False, delimiters="=")
    found.optionxform = str  # names differ in case
    found.read(FOLDER / name)
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_exposed_no_more_than_it_has_to_be(analyze, name):
    done = analyze("security", "--offline=true", "--no-pager", str(FOLDER / name))
    exposed = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert exposed, done.stderr
    assert float(exposed[1]) <= MOST_EXPOSED


def test_with_a_gpu_it_is_still_exposed_little(analyze, tmp_path):
    text = (FOLDER / "face-serving-all.service").read_text()
    more = (FOLDER / "gpu.conf").read_text().replace("[Service]", "")
    # As a drop-in has it: what comes later counts.
    path = tmp_path / "face-serving.service"
    path.write_text(text.replace("\n[Install]", f"{more}\n[Install]"))
    done = analyze("security", "--offline=true", "--no-pager", str(path))
    exposed = re.search(r"exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert float(exposed[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("role", ["all", "pipeline", "gateway"])
def test_systemd_verifies_the_units_of_each_role(analyze, tmp_path, role):
    """Below a prefix whose programs are there."""
    layout = Layout(tmp_path, str(tmp_path / "opt"))
    program = tmp_path / "opt" / "current" / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    paths = []
    for name, text in units.texts(ROOT, layout, Wish(role=role)).items():
        paths.append(tmp_path / name)
        paths[-1].write_text(text)
    done = analyze("verify", "--man=no", *map(str, paths))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_runs_as_its_own_user_what_the_project_has(name):
    service = unit(name)["Service"]
    assert service["User"] == service["Group"] == "face-serving"
    words = shlex.split(service["ExecStart"])
    assert words[0] == "/opt/face-serving/current/.venv/bin/python"
    if words[1] == "-m":
        from deploy.__main__ import _COMMANDS

        assert words[2] == "deploy"
        assert words[3] in _COMMANDS
    else:
        assert (ROOT / words[1]).is_file()
    assert "MemoryMax" in service
    assert "TasksMax" in service


@pytest.mark.parametrize("name", [name for name in SERVICES if "Type=notify" in
                                  (FOLDER / name).read_text()])  # fmt: skip
def test_systemd_waits_longer_than_the_service_itself_does(name):
    service = unit(name)["Service"]
    assert int(service["TimeoutStartSec"]) > START_TIMEOUT_S
    # The parent ends a child that hangs by itself before the whole service is ended for it.
    assert int(service["WatchdogSec"]) >= WELL_S
    assert service["Restart"] == "always"
    assert unit(name)["Install"]["WantedBy"] == "multi-user.target"
    after = (FOLDER / name).read_text()
    assert re.search(r"^After=.*network-online\.target.*nvidia-persistenced\.service", after, re.M)


def test_only_a_pipelines_machine_has_no_timers(tmp_path):
    layout = Layout(tmp_path, "/opt/face-serving")
    for role, timers in (("all", 2), ("gateway", 2), ("pipeline", 0)):
        names = units.texts(ROOT, layout, Wish(role=role))
        assert sum(name.endswith(".timer") for name in names) == timers
