"""``make audit``: what it says of the lists that it reaches, and of none."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "scripts"))
audit = importlib.import_module("audit")
HOLE = {"id": "CVE-1", "fix_versions": ["2.0"], "aliases": [], "description": ""}


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Sets what each source says of ``one==1.0``; a source that is not named does not answer."""
    (tmp_path / "requirements.lock").write_text("one==1.0 ; python_full_version < '3.12' \\\n")
    monkeypatch.setattr(audit, "ROOT", tmp_path)
    monkeypatch.setattr(audit, "LOCKS", ("requirements.lock",))

    def set_up(**answers):
        def run(command, **_):
            source = command[command.index("--vulnerability-service") + 1]
            dependencies = [{"name": "one", "version": "1.0", **answers.get(source, {})}]
            output = json.dumps({"dependencies": dependencies}) if source in answers else ""
            return subprocess.CompletedProcess(command, 1, output, "ConnectionError")

        monkeypatch.setattr(audit.subprocess, "run", run)

    return set_up


def test_a_hole_that_can_be_closed_is_a_failure(sources, capsys):
    sources(osv={"vulns": [HOLE]})
    assert audit.main() == 1
    assert "one 1.0: CVE-1, fixed in 2.0" in capsys.readouterr().out


def test_a_hole_that_nobody_has_closed_is_told(sources, capsys):
    sources(osv={"vulns": [{**HOLE, "fix_versions": []}]})
    assert audit.main() == 0
    assert "CVE-1, fixed in no version" in capsys.readouterr().out


def test_the_next_list_is_asked_where_one_does_not_answer(sources, capsys):
    sources(pypi={"vulns": []})
    assert audit.main() == 0
    assert "1 packages checked with pypi" in capsys.readouterr().out


@pytest.mark.parametrize("answers", [{}, {"pypi": {"skip_reason": "not found"}}])
def test_without_any_list_it_says_so_and_ends_well(sources, capsys, answers):
    sources(**answers)
    assert audit.main() == 0
    assert "nothing was checked" in capsys.readouterr().out


def database(folder, *events, **more):
    """A copy of PyPA's advisory database with one hole of the package ``one``."""
    (folder / "vulns" / "one").mkdir(parents=True)
    affected = [{"ranges": [{"type": "ECOSYSTEM", "events": [*events]}]}]
    hole = json.dumps({"id": "PYSEC-1", "affected": affected, **more})
    (folder / "vulns" / "one" / "PYSEC-1.yaml").write_text(hole)


@pytest.mark.parametrize(
    ("events", "said", "status"),
    [
        ([{"introduced": "0"}, {"fixed": "1.0.1"}], "fixed in 1.0.1", 1),
        ([{"introduced": "1.0"}], "fixed in no version", 0),
        ([{"introduced": "0.5"}, {"last_affected": "1.0"}], "fixed in no version", 0),
        ([{"fixed": "0.9"}, {"introduced": "0"}], None, 0),
        ([{"introduced": "0"}, {"last_affected": "0.9"}], None, 0),
        ([{"introduced": "1.0.1"}, {"fixed": "2.0"}], None, 0),
        ([{"introduced": "0"}, {"fixed": "0.5"}, {"introduced": "0.7"}, {"fixed": "2"}], "in 2", 1),
    ],
)
def test_a_copy_of_the_database_is_read_without_asking_anybody(
    sources, capsys, monkeypatch, tmp_path, events, said, status
):
    sources()
    database(tmp_path / "copy", *events)
    monkeypatch.setenv("ADVISORIES", str(tmp_path / "copy"))
    assert audit.main() == status
    out = capsys.readouterr().out
    assert ("PYSEC-1" in out) == (said is not None)
    assert said is None or said in out
    assert "1 packages checked with" in out


def test_a_withdrawn_hole_is_none(sources, capsys, monkeypatch, tmp_path):
    sources()
    database(tmp_path / "copy", {"introduced": "0"}, withdrawn="2024-01-01T00:00:00Z")
    monkeypatch.setenv("ADVISORIES", str(tmp_path / "copy"))
    assert audit.main() == 0
    assert "PYSEC" not in capsys.readouterr().out


def test_what_is_no_copy_of_the_database_is_refused(sources, capsys, monkeypatch, tmp_path):
    sources()
    monkeypatch.setenv("ADVISORIES", str(tmp_path))
    assert audit.main() == 2
    assert "has no folder vulns" in capsys.readouterr().err


def test_every_version_of_every_lock_is_looked_up():
    several = audit.pins([ROOT / name for name in audit.LOCKS])
    looked_up = {pin for some in several for pin in some}
    assert all(len({pin.split("==")[0] for pin in some}) == len(some) for some in several)
    for name in audit.LOCKS:
        lines = re.findall(r"^[a-z0-9._-]+==[^\s;\\]+", (ROOT / name).read_text(), re.MULTILINE)
        assert set(lines) <= looked_up
        assert lines
