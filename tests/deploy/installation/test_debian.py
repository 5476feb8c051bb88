"""Installed into a bare Debian by the one command, offline; run there, also by a real systemd."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.installation import release
from tests.support.debian import Debian, make_debian
from tests.support.pictures import ONE
from tests.support.podman import Booted
from tests.support.service import ROOT, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(3600)]
NAME = "face-serving"
PACKAGES = ("ca-certificates", "iproute2", "libgomp1", "python3", "python3-venv", "systemd")
MOST_EXPOSED = 2.5
INSTALL = ("/src/deploy/install", "--bundle", "/src/bundle.tar")

# Started as the unit says; asks as an application does, and ends it.
_SERVE = """
import json, os, subprocess, sys, time, urllib.request
about, picture = json.load(sys.stdin)
os.makedirs(about["HOME"], exist_ok=True)
os.chmod(about["HOME"], 0o777)
words = ["setpriv", "--reuid", about["user"], "--regid", about["user"], "--clear-groups",
         "--no-new-privs", "--bounding-set=-all", *about["words"]]
service = subprocess.Popen(words, cwd=about["folder"], env={**os.environ, **about["environment"]},
                           stdout=subprocess.PIPE, text=True)
try:
    for line in service.stdout:
        if line.startswith("ready"):
            break
    def ask(path, content=None):
        body = json.dumps(content).encode() if content else None
        head = {"content-type": "application/json"}
        request = urllib.request.Request("http://127.0.0.1:8300" + path, body, head)
        return json.load(urllib.request.urlopen(request, timeout=60))
    health = ask("/health")
    face = {"image": picture, "image_type": "BASE64", "group_id": "staff", "user_id": "ada"}
    added = ask("/face-api/v3/face/add", face)
    users = {line.split()[0] for line in subprocess.check_output(
        ["sh", "-c", "cat /proc/[0-9]*/status | grep ^Uid: | sort -u | cut -f 2"], text=True)
        .splitlines()}
finally:
    service.terminate()
json.dump({"health": health, "added": added, "users": sorted(users),
           "status": service.wait(60)}, sys.stdout)
"""


@pytest.fixture(scope="module")
def debian(models, tmp_path_factory) -> Debian:
    """A bare Debian with the project's files and a bundle, before anything is installed."""
    folder = tmp_path_factory.mktemp("debian")
    system = make_debian(folder, PACKAGES)
    source = system.path("/src")
    source.mkdir()
    release.copy(ROOT, source)
    command = [sys.executable, "-m", "deploy", "bundle", "--python-version", "3.11"]
    words = ["--models-dir", str(models.resolve()), "--out", str(source / "bundle.tar")]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no bundle can be made: {done.stderr[-300:]}")
    return system


@pytest.fixture(scope="module")
def installed(debian) -> Debian:
    done = debian.run(*INSTALL)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return debian


def tree(root: Path) -> dict[str, tuple]:
    found = {}
    for top in ("opt", "etc", "var/lib", "var/log", "usr/local"):
        for parent, folders, files in os.walk(root / top):
            for name in (*folders, *files):
                path = Path(parent) / name
                about = path.lstat()
                owner = about.st_uid, about.st_gid
                found[str(path)] = (about.st_mode, owner, about.st_size, about.st_mtime_ns)
    return found


def unit(system: Debian) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, delimiters="=")
    parser.optionxform = str
    parser.read(system.path(f"/etc/systemd/system/{NAME}.service"))
    return dict(parser["Service"])


def test_the_check_passes_before_and_after_the_installation(installed):
    # Before it the installer has asked by itself, or it would have ended there.
    done = installed.run(
        "env", "-C", f"/opt/{NAME}/current", ".venv/bin/python", "-m", "deploy", "check", "--json",
        "--config", f"/etc/{NAME}/config.yml",
    )  # fmt: skip
    told = json.loads(done.stdout)
    fails = [one for one in told["items"] if one["outcome"] == "fail"]
    assert (done.returncode, fails) == (0, []), done.stderr


def test_the_units_are_sound_and_closed(installed):
    names = [f"{NAME}.service", f"{NAME}-backup.timer", f"{NAME}-drill.timer"]
    done = installed.run("systemd-analyze", "verify", "--man=no", *names)
    assert (done.returncode, done.stderr) == (0, "")
    for name in (NAME, f"{NAME}-backup", f"{NAME}-drill"):
        done = installed.run(
            "systemd-analyze", "security", "--offline=true", "--no-pager", f"{name}.service"
        )
        exposed = re.search(r"exposure level for \S+: (\d+\.\d+)", done.stdout)
        assert exposed, done.stderr
        assert float(exposed[1]) <= MOST_EXPOSED


def test_the_service_answers_as_its_unit_starts_it(installed):
    service = unit(installed)
    about = {
        "user": service["User"],
        "words": shlex.split(service["ExecStart"]),
        "folder": service["WorkingDirectory"],
        "HOME": f"/run/{NAME}",
        "environment": dict.fromkeys(("HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR"), f"/run/{NAME}"),
    }
    text = json.dumps([about, ONE])
    done = installed.run("python3", "-c", _SERVE, text=text, seconds=600)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["health"]["status"] == "ok"
    assert told["added"]["error_code"] == 0
    assert told["status"] == 0
    owner = str(installed.path(f"/var/lib/{NAME}/faces.db").stat().st_uid)
    assert owner != "0"
    assert owner in told["users"]
    assert installed.path(f"/var/log/{NAME}/PipelineServingLogs/audit.log").is_file()


def test_a_second_run_changes_nothing(installed):
    before = tree(installed.root)
    done = installed.run(*INSTALL)
    assert done.returncode == 0
    assert "nothing differs" in done.stdout
    assert tree(installed.root) == before


def test_a_real_systemd_starts_watches_reloads_and_backs_it_up(installed):
    booted = Booted(installed.root)
    try:

        def show(property_: str, name: str = NAME) -> str:
            words = ("show", "--value", f"--property={property_}", f"{name}.service")
            return booted.run("systemctl", *words).stdout.strip()

        assert wait_until(lambda: show("ActiveState") in ("active", "failed"), 300)
        journal = booted.run("journalctl", "--no-pager", "-n", "50").stdout
        assert show("ActiveState") == "active", journal
        assert show("StatusText").startswith("Ready")
        assert show("WatchdogUSec") == "1min"
        main = show("MainPID")
        done = booted.run("systemctl", "reload", NAME)
        assert done.returncode == 0, done.stderr
        assert (show("MainPID"), show("StatusText")) == (
            main, "Ready, with the settings as they are now.",
        )  # fmt: skip
        for name in (f"{NAME}-backup", f"{NAME}-drill"):
            done = booted.run("systemctl", "start", name)
            journal = booted.run("journalctl", "--no-pager", "-u", name).stdout
            assert done.returncode == 0, journal
        timers = booted.run("systemctl", "list-timers", "--no-pager").stdout
        assert f"{NAME}-backup.timer" in timers
        # Killed, it is back without anybody's doing.
        booted.run("systemctl", "kill", "--signal=KILL", NAME)
        assert wait_until(lambda: show("ActiveState") == "active" and show("MainPID") != main, 300)
        assert booted.run("systemctl", "stop", NAME).returncode == 0
        assert show("Result") == "success"
    finally:
        booted.remove()
    backups = installed.path(f"/var/lib/{NAME}/backups")
    assert len(list(backups.glob("library-*.db"))) >= 1
    assert list(backups.glob(".*")) == []


def test_uninstalling_leaves_the_data_and_nothing_else(installed):
    data = installed.path(f"/var/lib/{NAME}")
    content = (data / "faces.db").read_bytes()
    done = installed.run("/src/deploy/install", "--uninstall")
    assert done.returncode == 0, done.stderr
    assert (data / "faces.db").read_bytes() == content
    assert {path.stat().st_uid for path in (data, *data.rglob("*"))} == {0}
    left = [
        path for path in tree(installed.root)
        if NAME in path and not path.startswith(str(data)) and "/journal/" not in path
    ]  # fmt: skip
    assert left == []
    assert NAME not in installed.path("/etc/passwd").read_text()
    assert NAME not in installed.path("/etc/group").read_text()
    assert "nothing is installed here" in installed.run("/src/deploy/install", "--uninstall").stdout
