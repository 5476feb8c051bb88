"""Fifty kills under load, on SQLite and on PostgreSQL: nothing acknowledged is lost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.kills.kinds import COMMANDS, FRONT, SERVER
from tests.support.service import ROOT

pytestmark = pytest.mark.attack
KILLS, SEED = 25, 10


# Whoever else computes on this machine: it waits for what happens, not for a time.
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_what_was_acknowledged_outlives_fifty_kills_of_service_commands_and_database(
    models, tmp_path
):
    report = tmp_path / "report.json"
    options = ["--kills", str(KILLS), "--seed", str(SEED), "--json", str(report)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", "kills", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    runs = {run["database"]: run for run in json.loads(report.read_text())["results"]["runs"]}
    for run in runs.values():
        assert run["killed"] >= KILLS
        assert sum(run["acknowledged"].values()) > 10 * KILLS
        assert set(run["counts"].values()) == {0}
    assert {*FRONT, *COMMANDS} <= runs["sqlite"]["kills"].keys()
    if "postgresql" not in runs:
        pytest.skip("PostgreSQL is not installed")
    assert set(SERVER) <= runs["postgresql"]["kills"].keys()
