"""Refusals are summed, and few at a time are told apart."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest

from gateway.auth.audit import Audit
from gateway.auth.refusals import MOST_KINDS, MOST_PLACES, OTHER, PERIOD_S, Refusal, Refusals
from tests.support.gateway.alone import lines

REFUSAL = Refusal("192.0.2.1", "/face-api/v3/face/add", 110, "", "", 1, "r-1")


def summed(text):
    return [json.loads(line) for line in text.splitlines()]


def test_the_first_is_told_at_once_and_the_others_when_a_minute_is_over():
    refusals = Refusals()
    (first,) = summed(refusals.add(REFUSAL, 1000.0))
    assert (first["count"], first["address"], first["error_code"]) == (1, "192.0.2.1", 110)
    for second in range(50):
        assert not refusals.add(replace(REFUSAL, log_id=second), 1001.0 + second)
    assert not refusals.due(1000.0 + PERIOD_S - 1)
    (others,) = summed(refusals.due(1000.0 + PERIOD_S))
    assert (others["count"], others["log_id"]) == (50, 49)
    assert others["first"] == "1970-01-01T00:16:41.000+00:00"
    assert others["last"] == "1970-01-01T00:17:30.000+00:00"
    assert len(refusals) == 0
    assert refusals.add(REFUSAL, 2000.0)


def test_what_was_refused_once_has_one_line():
    refusals = Refusals()
    refusals.add(REFUSAL, 1000.0)
    assert not refusals.due(1000.0, all_of_them=True)


@pytest.mark.attack
def test_thousands_of_addresses_take_a_bounded_number_of_lines():
    refusals = Refusals()
    text = ""
    for number in range(20_000):
        address = f"10.0.{number >> 8}.{number & 255}"
        text += refusals.add(replace(REFUSAL, address=address), 1000.0)
    assert len(refusals) <= MOST_KINDS + 1
    counted = summed(text + refusals.due(1000.0, all_of_them=True))
    assert len(counted) <= MOST_KINDS + 2
    assert sum(line["count"] for line in counted) == 20_000
    assert {line["address"] for line in counted} >= {OTHER, "10.0.0.0"}


@pytest.mark.attack
def test_one_address_does_not_take_the_room_of_the_others():
    refusals = Refusals()
    for number in range(1000):
        refusals.add(replace(REFUSAL, path=f"/{number}", address="192.0.2.1"), 1000.0)
    assert len(refusals) == MOST_PLACES + 1
    (line,) = summed(refusals.add(replace(REFUSAL, address="192.0.2.9"), 1000.0))
    assert line["address"] == "192.0.2.9"


@pytest.mark.attack
def test_a_network_of_ipv6_is_one_and_what_is_no_address_as_well():
    refusals = Refusals()
    for number in range(500):
        refusals.add(replace(REFUSAL, address=f"2001:db8::{number:x}"), 1000.0)
        refusals.add(replace(REFUSAL, address="x" * number + "\n"), 1000.0)
    assert len(refusals) == 2


@pytest.mark.attack
def test_keys_and_apps_that_are_made_up_are_named_a_few_at_a_time():
    refusals = Refusals()
    for number in range(500):
        refusals.add(replace(REFUSAL, key=f"ak_{number:024x}", app=f"a{number}"), 1000.0)
    (line,) = summed(refusals.due(2000.0))
    assert len(line["keys"]) == len(line["apps"]) == 8


def test_a_clock_that_is_put_back_does_not_hold_lines_up():
    refusals = Refusals()
    refusals.add(REFUSAL, 1000.0)
    refusals.add(REFUSAL, 1000.0)
    assert refusals.due(500.0)


def test_they_are_written_to_a_file_of_their_own_at_the_end_at_the_latest(tmp_path):
    log = Audit(tmp_path / "audit.log", 1_000_000, 1)
    for _ in range(10):
        log.refuse(REFUSAL)
    log.close()
    assert [line["count"] for line in lines(tmp_path / "refusals.log")] == [1, 9]
    assert not (tmp_path / "audit.log").exists()


def test_where_they_cannot_be_written_they_are_lost_and_counted(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("gateway"), "disabled", False)
    (tmp_path / "refusals.log").mkdir()
    log = Audit(tmp_path / "audit.log", 1_000_000, 1)
    with caplog.at_level(logging.ERROR, "gateway"):
        log.refuse(REFUSAL)
        log.close()
    assert "1 lines are lost" in caplog.text
