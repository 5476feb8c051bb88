"""The file by which a running service is found."""

from __future__ import annotations

import os
from dataclasses import replace

from runtime.service_state import own_state, read_state, start_of, write_state


def test_the_state_of_a_service_that_was_killed_is_not_taken_for_a_living_ones(tmp_path):
    file = tmp_path / "logs" / "service.json"
    assert read_state(file) is None
    write_state(file, own_state())
    assert read_state(file) == own_state()
    assert read_state(file).is_alive
    # Its number may have been given to another process since.
    write_state(file, replace(own_state(), started=start_of(os.getpid()) + 1))
    assert not read_state(file).is_alive
    write_state(file, replace(own_state(), pid=2**22 + 1))
    assert not read_state(file).is_alive


def test_a_file_that_cannot_be_understood_is_none(tmp_path):
    file = tmp_path / "service.json"
    for text in ("", "[]", "{}", '{"pid": "x", "started": 1}', "{" * 3000):
        file.write_text(text)
        assert read_state(file) is None


def test_where_nothing_can_be_written_the_service_goes_on_without(tmp_path):
    (tmp_path / "logs").write_text("no folder")
    write_state(tmp_path / "logs" / "service.json", own_state())
