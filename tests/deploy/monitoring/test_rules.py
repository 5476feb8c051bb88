"""Prometheus' rules: each alert fires when it should and is quiet else, and has its page."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.monitoring.alert_cases import CASES
from tests.support.service import ROOT
from tests.support.texts import Text

RULES = sorted((ROOT / "deploy" / "monitoring" / "rules").glob("*.yml"))
FIGURES = next(file for file in RULES if file.name == "figures.yml")
PAGES = ROOT / "docs" / "runbooks"
_TEMPLATE = re.compile(r"\{\{ (\$labels\.\w+|\$value( \| humanize(Percentage|Duration)?)?) \}\}")
# What every page has, so that whoever is woken at night knows where to look.
_SECTIONS = ["What it means", "What to look at", "What to do"]


def rules(*files: Path) -> list[dict[str, Any]]:
    read = [yaml.safe_load(file.read_text()) for file in files or RULES]
    groups = [group for content in read for group in content["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    return found


def test_promtool_finds_the_rules_good(promtool):
    done = subprocess.run(
        [promtool, "check", "rules", *map(str, RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(map(int, re.findall(r"(\d+) rules found", done.stdout))) == len(rules())


def test_every_alert_fires_with_its_series_and_with_no_others(promtool, tmp_path):
    files = []
    for file in RULES:
        here = {rule.get("alert") for rule in rules(file)}
        # A day of every rule for each case would take long; what they share, one file asks for.
        needed = [FIGURES, file] if "tenant:" in file.read_text() else [file]
        document = {
            "rule_files": [str(one) for one in needed],
            "evaluation_interval": "1m",
            "tests": [case.document() for case in CASES if case.alert in here],
        }
        files.append(tmp_path / file.name)
        files[-1].write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run(
        [promtool, "test", "rules", *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(RULES)


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_is_quiet():
    assert {case.alert for case in CASES if case.labels is not None} == set(alerts())
    assert {case.alert for case in CASES if case.labels is None} == set(alerts())


def test_alerts_are_named_once():
    names = [rule["alert"] for rule in rules() if "alert" in rule]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_its_page_stands(name):
    alert = alerts()[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    annotations = alert["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    for text in (annotations["summary"], annotations["description"]):
        assert "{{" not in _TEMPLATE.sub("", text), text
    assert annotations["runbook_url"] == f"docs/runbooks/{name}.md"
    assert (ROOT / annotations["runbook_url"]).is_file()


def test_every_page_has_its_alert():
    assert {page.stem for page in PAGES.glob("*.md")} == set(alerts())


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_tells_what_an_alert_means_what_to_look_at_and_what_to_do(page):
    text = Text(str(page.relative_to(ROOT)))
    assert re.findall(r"^# (.+)$", text.prose, re.MULTILINE) == [page.stem]
    assert re.findall(r"^## (.+)$", text.prose, re.MULTILINE) == _SECTIONS


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_metrics_that_there_are(rule):
    recorded = {one["record"] for one in rules() if "record" in one}
    known = metrics() | recorded | {"up"}
    asked = re.findall(r"\b(?:face_\w+|\w+:face_\w+:\w+|process_\w+|up)\b", rule["expr"])
    assert asked
    assert [name for name in asked if plain(name) not in known and name not in known] == []


def metrics() -> set[str]:
    """What /metrics has, by its document, and what every Python process tells."""
    ours = {row[0].strip("`") for row in Text("docs/metrics.md").table("metric")}
    return ours | {"process_start_time_seconds", "process_open_fds", "process_max_fds"}


def plain(name: str) -> str:
    return re.sub("_(total|bucket|sum|count)$", "", name)
