"""``python -m deploy reload`` where the service cannot be seen in /proc."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from deploy.life.commands import _is_there
from runtime.service_state import own_state


@pytest.fixture
def unseen():
    """This process by its number, with another start than /proc tells."""
    return replace(own_state(), started=0)


def test_the_process_that_systemd_names_is_the_service(unseen, monkeypatch):
    assert not _is_there(unseen)
    monkeypatch.setenv("MAINPID", str(os.getpid()))
    assert _is_there(unseen)


def test_another_than_systemd_names_is_left_alone(unseen, monkeypatch):
    monkeypatch.setenv("MAINPID", "1")
    assert not _is_there(unseen)
    monkeypatch.setenv("MAINPID", str(2**22 + 1))
    assert not _is_there(replace(unseen, pid=2**22 + 1))
