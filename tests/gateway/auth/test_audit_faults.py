"""Faults made on purpose around the lines of changes: kills, locks that hang, full disks."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.support.gateway.alone import LoneGateway, lines
from tests.support.service import wait_until

pytestmark = pytest.mark.attack

REFUSED, GIVEN_UP = 222911, 222910


@pytest.fixture
def make_gateway(models, tmp_path):
    """Gateways without a pipeline; all are gone when the test ends."""
    made: list[LoneGateway] = []

    def make(**settings) -> LoneGateway:
        made.append(LoneGateway(tmp_path, **settings).start())
        return made[-1]

    yield make
    for one in made:
        one.kill()


def told(gateway: LoneGateway, **having):
    """The events of audit.log that have this, as (event, error_code)."""
    found = lines(gateway.logs / "audit.log")
    return [(one["event"], one.get("error_code")) for one in found if having.items() <= one.items()]


def groups(folder: Path) -> set[str]:
    """The names of all groups in the database."""
    with closing(sqlite3.connect(folder / "data" / "faces.db")) as database:
        return {name for (name,) in database.execute("SELECT name FROM face_group")}


def test_a_change_that_goes_on_after_its_answer_is_told_when_it_has_ended(make_gateway, tmp_path):
    gateway = make_gateway(request_timeout_ms=1500)
    assert gateway.code("group/add", group_id="first") == 0
    with closing(sqlite3.connect(tmp_path / "data" / "faces.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert gateway.code("group/add", group_id="late") == GIVEN_UP
        assert told(gateway, group_id="late") == [("begun", None), ("done", GIVEN_UP)]
        other.execute("ROLLBACK")
    assert wait_until(lambda: len(told(gateway, group_id="late")) == 3, 30)
    assert told(gateway, group_id="late")[-1] == ("late", 0)
    assert "late" in groups(tmp_path)


def test_a_change_that_a_kill_cuts_off_has_been_told_before_it_was_made(make_gateway, tmp_path):
    gateway = make_gateway()
    assert gateway.code("group/add", group_id="first") == 0
    with closing(sqlite3.connect(tmp_path / "data" / "faces.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        asking = threading.Thread(target=quietly, args=(gateway, "cut"))
        asking.start()
        assert wait_until(lambda: told(gateway, group_id="cut"), 30)
        gateway.kill()
        asking.join()
        other.execute("ROLLBACK")
    assert told(gateway, group_id="cut") == [("begun", None)]


def quietly(gateway: LoneGateway, group: str) -> bool:
    """Whether a group was made; not where the gateway has gone."""
    try:
        return gateway.code("group/add", group_id=group) == 0
    except httpx.TransportError:
        return False


def test_after_a_kill_under_load_every_group_has_its_line_and_every_answer_both(
    make_gateway, tmp_path
):
    gateway = make_gateway()
    answered: list[str] = []

    def work(number: int) -> None:
        for again in range(100_000):
            group = f"g_{number}_{again}"
            if not quietly(gateway, group):
                return
            answered.append(group)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    assert wait_until(lambda: len(answered) >= 100, 60)
    gateway.kill()
    for one in threads:
        one.join()

    # The next one goes on in the same file, whatever the kill has left at its end.
    assert make_gateway().code("group/add", group_id="after") == 0
    found = lines(gateway.logs / "audit.log")
    begun = {one["group_id"] for one in found if one["event"] == "begun"}
    done = {one["group_id"] for one in found if one["event"] == "done" and not one["error_code"]}
    assert set(answered) <= done
    assert groups(tmp_path) <= begun


def test_while_no_line_can_be_written_changes_are_refused_and_reads_go_on(make_gateway, tmp_path):
    gateway = make_gateway()
    assert gateway.code("group/add", group_id="first") == 0
    file = gateway.logs / "audit.log"
    file.unlink()
    file.symlink_to("/dev/full")
    for _ in range(3):
        assert gateway.code("group/add", group_id="second") == REFUSED
        assert gateway.code("group/delete", group_id="first") == REFUSED
    assert gateway.code("group/list") == 0
    assert groups(tmp_path) == {"first"}
    health = gateway.health()
    assert health.status_code == 503
    assert "Changes are refused: the audit log cannot be written." in health.json()["reasons"]
    file.unlink()
    assert gateway.becomes(0, "group/add", group_id="second")
    assert "Changes" not in str(gateway.health().json()["reasons"])
    assert groups(tmp_path) == {"first", "second"}
    assert [one["event"] for one in lines(file)] == ["lost", "begun", "done"]


def test_without_an_audit_log_changes_are_made_and_nothing_is_written(make_gateway):
    gateway = make_gateway(audit=False)
    assert gateway.code("group/add", group_id="first") == 0
    assert not list(gateway.logs.glob("audit*"))


def test_what_is_refused_is_in_the_file_after_a_clean_end(make_gateway):
    gateway = make_gateway(access="on")
    for _ in range(20):
        assert gateway.code("group/add", group_id="first") == 110
    assert gateway.stop() == 0
    found = lines(gateway.logs / "refusals.log")
    assert found[0]["count"] == 1
    assert sum(one["count"] for one in found) == 20
    assert len(found) < 10
    assert not (gateway.logs / "audit.log").exists()
