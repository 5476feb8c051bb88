"""Log records as lines of JSON."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import copy_context
from datetime import datetime, timedelta

import pytest

from runtime.telemetry.json_lines import REQUEST_ID, JsonLines, formatter


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    found = None
    if error:
        try:
            raise ValueError("what was wrong")
        except ValueError:
            found = sys.exc_info()
    return logging.LogRecord("gateway", logging.WARNING, "f.py", 7, message, args, found)


def written(one: logging.LogRecord) -> dict:
    line = JsonLines("pipeline 1").format(one)
    assert "\n" not in line
    assert line.isascii()
    return dict(json.loads(line))


def test_a_line_has_time_level_logger_process_and_message():
    one = record("%s has %d", "张三", 3)
    found = written(one)
    time = datetime.fromisoformat(found.pop("time"))
    assert time.utcoffset() == timedelta(0)
    assert abs(time.timestamp() - one.created) < 0.001
    assert found == {
        "level": "WARNING",
        "logger": "gateway",
        "process": "pipeline 1",
        "pid": one.process,
        "message": "张三 has 3",
    }


@pytest.mark.parametrize("message", ["two\nlines", 'a "quote"', "\u2028", "\ud800", "\x00\x1b"])
def test_a_line_is_one_line_whatever_the_message_is(message):
    assert written(record("%s", message))["message"] == message


def test_a_traceback_stands_in_the_line():
    found = written(record("failed", error=True))
    assert found["message"] == "failed"
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: what was wrong")


def test_a_line_names_the_request_that_is_worked_on():
    def in_a_request() -> dict:
        REQUEST_ID.set("r-17")
        return written(record("slow"))

    assert copy_context().run(in_a_request)["request_id"] == "r-17"
    assert "request_id" not in written(record("slow"))


def test_text_stays_text():
    text = {"format": "%(message)s"}
    assert formatter("text", "gateway", text) is text
    assert formatter("json", "gateway", text) == {"()": JsonLines, "process": "gateway"}
