"""The audit log: every line complete, nothing of a face in it, and nothing changed without one."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import threading
from dataclasses import replace

import pytest

from gateway.auth import audit
from gateway.auth.audit import NOT_AN_ID, Audit, Event
from gateway.auth.log_file import LogFile
from gateway.errors import ApiError, ErrorCode
from tests.support.gateway.alone import lines

SOON_S = 30.0
EVENT = Event(
    log_id=123456789012345678,
    request_id="r-1",
    address="192.0.2.1",
    key="ak_000000000000000000000001",
    app="shop",
    path="/face-api/v3/face/add",
    group_id="staff",
    user_id="u1",
)


def written(file, *events, error=None, size=1_000_000, backups=1):
    """Have changes written from their beginning to their end; the lines in the file."""

    async def run():
        log = Audit(file, size, backups)
        for event in events:
            await log.begin(event, SOON_S)
            await log.end(event, error, 0.0123456)
        log.close()

    asyncio.run(run())
    return lines(file)


@pytest.fixture
def logged(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("gateway"), "disabled", False)
    caplog.set_level(logging.WARNING, "gateway")
    return caplog


def test_two_lines_say_who_did_what_and_when(tmp_path):
    begun, done = written(tmp_path / "logs" / "audit.log", EVENT)
    told = {
        "log_id": 123456789012345678,
        "request_id": "r-1",
        "address": "192.0.2.1",
        "key": "ak_000000000000000000000001",
        "app": "shop",
        "path": "/face-api/v3/face/add",
        "group_id": "staff",
        "user_id": "u1",
    }
    assert begun.pop("time") <= done.pop("time")
    assert begun == {"event": "begun", **told, "error_code": None, "ms": None}
    assert done == {"event": "done", **told, "error_code": 0, "ms": 12.346}


def test_a_change_that_failed_has_its_error(tmp_path):
    error = ApiError(ErrorCode.GROUP_EXISTS)
    _, done = written(tmp_path / "audit.log", replace(EVENT, user_id=None), error=error)
    assert (done["error_code"], done["user_id"]) == (223101, None)


@pytest.mark.parametrize("sent", ["王", "a\nb", "/9j/4AAQSkZJRg==", "a" * 600, "", "\udce4"])
def test_what_is_no_id_is_not_written(tmp_path, sent):
    event = replace(EVENT, user_id=sent, group_id=sent, app=sent)
    line, _ = written(tmp_path / "audit.log", event)
    assert (line["user_id"], line["group_id"], line["app"]) == (NOT_AN_ID,) * 3


@pytest.mark.parametrize("sent", ["x" * 60_000, "a\nb", "\udce4", "fe80::1%eth0\n", "("])
def test_every_field_is_short_and_of_its_form(tmp_path, sent):
    event = replace(EVENT, address=sent, key=sent, request_id=sent, path=f"/{sent}")
    file = tmp_path / "audit.log"
    line, _ = written(file, event)
    assert (line["key"], line["request_id"]) == (NOT_AN_ID,) * 2
    assert line["address"] == "unknown"
    assert all(len(text) < 1000 and text.isascii() for text in file.read_text().splitlines())


def test_the_file_is_its_owners_only_and_rotated(tmp_path):
    written(
        tmp_path / "audit.log",
        *(replace(EVENT, log_id=number) for number in range(100)),
        size=10_000,
        backups=2,
    )
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["audit.log", "audit.log.1", "audit.log.2"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_size <= 10_000
    numbers = [line["log_id"] for file in reversed(files) for line in lines(file)]
    assert sorted(set(numbers)) == list(range(numbers[0], 100))


def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    file = LogFile(tmp_path / "logs" / "audit.log", 1000, 1)
    file.append("one\n")
    file.path.replace(tmp_path / "moved")
    file.append("two\n")
    file.path.unlink()
    file.path.parent.rmdir()
    file.append("three\n", sync=True)
    file.close()
    assert (tmp_path / "moved").read_text() == "one\n"
    assert file.path.read_text() == "three\n"


def test_half_a_line_is_ended_before_the_next(tmp_path):
    file = tmp_path / "audit.log"
    file.write_text('{"half a li')
    made = LogFile(file, 1000, 1)
    made.append("whole\n")
    made.close()
    assert file.read_text() == '{"half a li\nwhole\n'


def full(file):
    file.symlink_to("/dev/full")


def a_folder(file):
    file.mkdir()


def a_pipe(file):
    os.mkfifo(file)


def nothing_below(file):
    """A file stands where its folder is to be."""
    file.parent.rmdir()
    file.parent.write_text("")


@pytest.mark.attack
@pytest.mark.parametrize("spoil", [full, a_folder, a_pipe, nothing_below])
def test_where_nothing_can_be_written_nothing_may_be_changed_until_it_can(tmp_path, logged, spoil):
    folder = tmp_path / "logs"
    folder.mkdir()
    file = folder / "audit.log"

    async def run():
        log = Audit(file, 1_000_000, 1)
        await log.begin(EVENT, SOON_S)
        file.unlink()
        spoil(file)
        # That one has been begun, so it is answered, and told in the service's log.
        await log.end(EVENT, None, 0.5)
        assert not log.is_writable
        with pytest.raises(ApiError) as refused:
            await log.begin(replace(EVENT, log_id=2), SOON_S)
        assert refused.value.kind is ErrorCode.AUDIT
        for spoilt in (file, file.parent):
            if spoilt.is_symlink() or spoilt.is_fifo() or spoilt.is_file():
                spoilt.unlink()
        if file.is_dir():
            file.rmdir()
        # By itself, whether somebody asks or not.
        for _ in range(int(SOON_S * 20)):
            if log.is_writable:
                break
            await asyncio.sleep(0.05)
        await log.begin(replace(EVENT, log_id=3), SOON_S)
        log.close()

    asyncio.run(run())
    gap, begun = lines(file)
    assert (gap["event"], gap["lines"]) == ("lost", 1)
    assert (begun["event"], begun["log_id"]) == ("begun", 3)
    assert '"event": "done", "log_id": 123456789012345678' in logged.text
    assert logged.text.count("nothing may be changed until it can") == 1
    assert "can be written again; 1 lines are lost" in logged.text


@pytest.mark.attack
def test_a_disk_that_does_not_answer_stops_changes_and_not_answers(tmp_path, monkeypatch, logged):
    monkeypatch.setattr(audit, "WRITE_S", 0.05)
    monkeypatch.setattr(audit, "QUEUE", 20)
    answers = threading.Event()
    append = LogFile.append

    def hanging(self, text, sync=False):
        answers.wait(SOON_S)
        append(self, text, sync)

    monkeypatch.setattr(LogFile, "append", hanging)

    async def run():
        log = Audit(tmp_path / "audit.log", 1_000_000, 1)
        for _ in range(40):
            with pytest.raises(ApiError) as refused:
                await log.begin(EVENT, SOON_S)
            assert refused.value.kind is ErrorCode.AUDIT
        assert not log.is_writable
        await log.end(EVENT, None, 0.5)
        assert len(log._waiting) <= 20
        answers.set()
        while log._waiting or not log.is_writable:
            await asyncio.sleep(0.01)
        monkeypatch.setattr(audit, "WRITE_S", SOON_S)
        await log.begin(replace(EVENT, log_id=7), SOON_S)
        log.close()

    asyncio.run(run())
    found = lines(tmp_path / "audit.log")
    # Of the changes that were refused nothing is told that would look like one.
    assert {line["error_code"] for line in found if line["event"] == "done"} <= {0, 222911}
    assert sum(line["event"] == "begun" for line in found) <= 2
    assert found[-1]["log_id"] == 7
    assert "not written" in logged.text


def test_lines_that_wait_are_written_in_one_go(tmp_path, monkeypatch):
    writes = []
    append = LogFile.append

    def counting(self, text, sync=False):
        writes.append(text.count("\n"))
        append(self, text, sync)

    monkeypatch.setattr(LogFile, "append", counting)

    async def run():
        log = Audit(tmp_path / "audit.log", 1_000_000, 1)
        await asyncio.gather(*(log.begin(EVENT, SOON_S) for _ in range(200)))
        log.close()

    asyncio.run(run())
    assert sum(writes) == 200
    assert len(writes) < 200


def test_after_the_end_nothing_may_be_changed(tmp_path):
    async def run():
        log = Audit(tmp_path / "audit.log", 1_000_000, 1)
        log.close()
        with pytest.raises(ApiError):
            await log.begin(EVENT, SOON_S)

    asyncio.run(run())
