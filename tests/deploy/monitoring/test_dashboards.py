"""Grafana's dashboards: the files are the code's, and ask for what there is."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from deploy.__main__ import main
from deploy.monitoring.command import DASHBOARDS, documents
from tests.deploy.monitoring.test_rules import metrics, plain, rules
from tests.support.processes.prometheus import MONITORING
from tests.support.service import ROOT

EACH = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
# What every Python process tells of itself, and Prometheus of a target.
_OTHERS = {"up", "process_cpu_seconds", "process_resident_memory_bytes"}


def expressions(document: dict) -> list[str]:
    return [target["expr"] for panel in document["panels"] for target in panel.get("targets", [])]


def test_the_files_are_what_the_code_makes():
    written = {file.name: file.read_text() for file in (MONITORING / "grafana").glob("*.json")}
    assert written == documents(), "python -m deploy dashboards --out deploy/monitoring/grafana"


def test_the_command_writes_the_files_and_names_them(tmp_path):
    folder = tmp_path / "new" / "folder"
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "dashboards", "--out", str(folder)],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(folder / name) for name in documents()]
    assert {file.name: file.read_text() for file in folder.iterdir()} == documents()


def test_a_folder_that_cannot_be_written_is_told_in_a_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["dashboards", "--out", str(tmp_path / "file" / "below")]) == 1
    assert "cannot be written" in capsys.readouterr().err


@EACH
def test_a_dashboard_lets_choose_the_data_source_and_the_tenants(dashboard):
    document = dashboard.document()
    kinds = {one["name"]: one["type"] for one in document["templating"]["list"]}
    assert kinds == {"datasource": "datasource", "tenant": "query"}
    for panel in document["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert '{tenant=~"$tenant"' in target["expr"], target


@EACH
def test_the_panels_of_a_dashboard_do_not_overlap(dashboard):
    panels = dashboard.document()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


@EACH
def test_a_dashboard_asks_for_metrics_that_there_are(dashboard):
    known = metrics() | {one["record"] for one in rules() if "record" in one} | _OTHERS
    for expression in expressions(json.loads(json.dumps(dashboard.document()))):
        asked = re.findall(r"\b(?:face_\w+|\w+:face_\w+:\w+|process_\w+|up)\b", expression)
        assert asked, expression
        assert [one for one in asked if one not in known and plain(one) not in known] == []
