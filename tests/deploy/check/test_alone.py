"""The check runs on a bare Python, before anything is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.texts import ROOT

# Without the packages beside it, an interpreter is as bare as on a new machine.
BARE = (sys.executable, "-E", "-S", "-m", "deploy")


def run(*arguments: str, python: tuple[str, ...] = BARE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_bare_python_checks_the_machine():
    done = run("check", "--for", "gateway")
    assert done.stderr == ""
    assert done.returncode in (0, 1)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("NOT READY:" if done.returncode else "READY:")
    assert "not installed yet" in done.stdout
    assert max(map(len, done.stdout.split("\n\n")[0].splitlines())) <= 100


def test_its_json_has_every_item_of_the_service_as_not_applicable():
    done = run("check", "--json")
    document = json.loads(done.stdout)
    service = [one for one in document["items"] if one["item"].startswith("service.")]
    assert {one["outcome"] for one in service} == {"not applicable"}
    assert {"service.settings", "service.models", "service.database", "service.milvus"} <= {
        one["item"] for one in service
    }
    assert done.returncode == document["status"]


def test_a_tenant_file_that_cannot_be_read_yet_is_a_failure(tmp_path):
    file = tmp_path / "tenants.yml"
    file.write_text("tenants: []\n")
    document = json.loads(run("check", "--json", "--expect", str(file)).stdout)
    (one,) = (one for one in document["items"] if one["item"] == "tenants.file")
    assert one["outcome"] == "fail"
    assert f"--expect {file}" in one["do"]


@pytest.mark.parametrize(
    "arguments", [("check", "--nonsense"), ("check", "--for", "nobody"), ("check", "--js"), ()]
)
def test_wrong_usage_is_told_and_is_status_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert done.stdout == ""


def test_an_output_that_nobody_reads_is_no_complaint():
    reading, writing = os.pipe()
    os.close(reading)
    command = [*BARE, "check", "--json"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_other_commands_say_what_has_to_be_done_first():
    done = run("no-such-command")
    assert done.returncode == 2
    assert "not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_same_options_are_there_with_the_packages_and_without():
    with_packages = run("check", "--help", python=(sys.executable, "-m", "deploy")).stdout
    without = run("check", "--help").stdout
    for option in ("--config", "--expect", "--for", "--json", "--help"):
        assert option in with_packages
        assert option in without


@pytest.mark.parametrize("version", ["3.6", "3.10"])
def test_an_older_python_is_told_in_a_line(version):
    find = [ROOT / "scripts" / "find-python", version]
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip(f"no Python {version} on this machine")
    done = run("check", python=(found.stdout.strip(), "-m", "deploy"))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "Python 3.11, 3.12 or 3.13 is needed" in line
    assert version in line
