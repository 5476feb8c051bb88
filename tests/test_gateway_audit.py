"""The audit log: every line complete, nothing of a face in it, and no disk stops the service."""

from __future__ import annotations

import json
import logging
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import audit
from gateway.audit import NOT_AN_ID, Audit, Event
from tests.access import becomes

EVENT = Event(
    log_id=123456789012345678,
    request_id="r-1",
    address="192.0.2.1",
    key="ak_000000000000000000000001",
    app="shop",
    path="/face-api/v3/face/add",
    error_code=0,
    seconds=0.0123456,
    group_id="staff",
    user_id="u1",
)


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_says_who_did_what_and_when(tmp_path):
    log = Audit(tmp_path / "logs" / "audit.log", 1_000_000, 1)
    log.record(EVENT)
    log.record(replace(EVENT, group_id=None, user_id=None, app=None, error_code=6))
    log.close()
    first, second = lines(tmp_path / "logs" / "audit.log")
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "log_id": 123456789012345678,
        "request_id": "r-1",
        "address": "192.0.2.1",
        "key": "ak_000000000000000000000001",
        "app": "shop",
        "path": "/face-api/v3/face/add",
        "group_id": "staff",
        "user_id": "u1",
        "error_code": 0,
        "ms": 12.346,
    }
    assert (second["error_code"], second["app"], second["user_id"]) == (6, None, None)


@pytest.mark.parametrize("sent", ["王", "a\nb", "/9j/4AAQSkZJRg==", "a" * 600, "", "\udce4"])
def test_what_is_no_id_is_not_written(tmp_path, sent):
    log = Audit(tmp_path / "audit.log", 1_000_000, 1)
    log.record(replace(EVENT, user_id=sent, group_id=sent, app=sent))
    log.close()
    (line,) = lines(tmp_path / "audit.log")
    assert (line["user_id"], line["group_id"], line["app"]) == (NOT_AN_ID,) * 3


def test_a_strange_path_is_one_line_and_short(tmp_path):
    log = Audit(tmp_path / "audit.log", 1_000_000, 1)
    log.record(replace(EVENT, path="/a\nb\udce4" + "x" * 5000))
    log.close()
    (line,) = lines(tmp_path / "audit.log")
    assert len(line["path"]) == 200


def test_the_file_is_its_owners_only_and_rotated(tmp_path):
    log = Audit(tmp_path / "audit.log", 10_000, 2)
    for number in range(200):
        log.record(replace(EVENT, log_id=number))
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size <= 10_000
    numbers = [line["log_id"] for file in reversed(files) for line in lines(file)]
    assert numbers == list(range(numbers[0], 200))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_costs_lines_and_is_told_and_later_lines_are_written(
    tmp_path, caplog, monkeypatch, capfd
):
    monkeypatch.setattr(logging.getLogger("gateway"), "disabled", False)
    monkeypatch.setattr(audit, "COMPLAIN_S", 0.0)
    file = tmp_path / "audit.log"
    file.symlink_to("/dev/full")
    log = Audit(file, 1_000_000, 1)
    with caplog.at_level(logging.ERROR, "gateway"):
        log.record(EVENT)
        log.record(EVENT)
        assert becomes(2, lambda: caplog.text.count("1 lines are lost"))
    file.unlink()
    file.write_text('{"half a li')
    log.record(EVENT)
    log.close()
    half, whole = file.read_text().splitlines()
    assert half == '{"half a li'
    assert json.loads(whole)["request_id"] == "r-1"
    assert "Traceback" not in capfd.readouterr().err


def test_more_than_the_disk_takes_is_dropped_and_counted(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("gateway"), "disabled", False)
    monkeypatch.setattr(audit, "QUEUE", 10)
    log = Audit(tmp_path / "audit.log", 1_000_000, 1)
    with log._handler.lock, caplog.at_level(logging.ERROR, "gateway"):
        # The writer waits for the lock with one line in its hand.
        for _ in range(50):
            log.record(EVENT)
    log.record(EVENT)
    log.close()
    written = len(lines(tmp_path / "audit.log"))
    lost = sum(record.args[1] for record in caplog.records if "lost" in record.message)
    assert written < 50
    assert written + lost == 51
