"""What `make test-fast` leaves out, and the order in which `make test` begins files."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.gateway.alone import LoneGateway
from tests.support.selection import longest_first, scope, starts_server
from tests.support.service import ROOT, Service


class Manager:
    """In the place of pytest's own: fixtures by name."""

    def __init__(self, fixtures):
        self.fixtures = fixtures

    def getfixturedefs(self, name, _):
        if name not in self.fixtures:
            return None
        return [SimpleNamespace(func=self.fixtures[name], scope="session")]


def item(function, nodeid="tests/a/test_b.py::test_c", fixtures=None, marks=(), **parameters):
    """A collected test, as far as it is looked at. fixtures: functions by name."""
    return SimpleNamespace(
        function=function,
        nodeid=nodeid,
        fixturenames=[name for name in fixtures or {} if name not in parameters.values()],
        session=SimpleNamespace(_fixturemanager=Manager(fixtures or {})),
        callspec=SimpleNamespace(params=parameters),
        get_closest_marker=lambda name: name in marks,
    )


def starting(folder):
    return LoneGateway(folder).start()


def through_a_function(folder):
    return [starting(one) for one in folder.iterdir()]


def of_the_type(one: Service) -> int:
    return one.http_port


@pytest.mark.parametrize(
    ("function", "starts"), [(starting, True), (through_a_function, True), (of_the_type, False)]
)
def test_a_test_that_names_a_server_starts_it_and_a_type_is_no_start(function, starts):
    assert starts_server(item(function)) is starts
    assert starts_server(item(of_the_type, fixtures={"one": function})) is starts
    assert starts_server(item(of_the_type, fixtures={"one": function}, system="one")) is starts


def test_files_are_begun_with_the_longest_and_stay_together():
    kinds = {
        "short": {"function": of_the_type},
        "shared": {"function": of_the_type, "fixtures": {"service": starting}},
        "own": {"function": starting},
        "slow": {"function": of_the_type, "marks": ["slow"]},
    }
    names = ["short", "slow", "shared", "own", "short", "own", "shared", "slow"]
    items = [
        item(nodeid=f"tests/test_{name}.py::test_{number}", **kinds[name])
        for number, name in enumerate(names)
    ]
    longest_first(items)
    assert "".join(one.nodeid[-1] for one in items) == "17352604"


def test_files_that_share_a_costly_server_are_one_workers():
    milvus = [f"tests/library/index/test_milvus{rest}.py::test_x" for rest in ("", "_faults")]
    assert len(set(map(scope, milvus))) == 1
    assert scope("tests/service/test_load.py::test_x") == "tests/service/test_load.py"


@pytest.mark.parametrize(
    ("words", "shared"),
    [(r"\b(access_service|insider)\b", "access_service"), (r"\bmilvus_server\b", "Milvus")],
)
def test_of_a_server_that_few_files_share_none_is_left_out(words, shared):
    asking = {
        file.relative_to(ROOT).as_posix()
        for file in ROOT.glob("tests/**/test_*.py")
        if re.search(words, file.read_text()) and file != Path(__file__)
    }
    assert len(asking) > 1
    assert {scope(f"{file}::test_x") for file in asking} == {shared}
