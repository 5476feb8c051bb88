"""What the check says of machines that are not here, line by line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.check import tenants
from deploy.check.report import Report
from deploy.check.run import report
from tests.support.recorded_machine import Recorded, load, names


def checked(machine: Recorded, folder) -> Report:
    needs = machine.carries()
    if machine.tenants:
        file = folder / "tenants.yml"
        file.write_text(machine.tenants)
        needs = needs.of(tenants.load_needs(file, needs.role))
    return report(machine, needs, [], needs.role)


@pytest.fixture(params=names())
def machine(request) -> Recorded:
    return load(request.param)


def test_every_line_is_right(machine, tmp_path):
    found = [
        (row.item, row.subject, row.outcome.value, row.found)
        for row in checked(machine, tmp_path).rows
    ]
    assert sorted(found) == sorted(machine.says)


def test_what_to_do_is_said_of_every_failure_and_every_warning(machine, tmp_path):
    made = checked(machine, tmp_path)
    for row in made.rows:
        concerned = row.outcome.value in ("fail", "warning")
        assert bool(row.do) == concerned, row
        assert "?" not in row.do.replace("?ssl", "").replace("away?", ""), row
    for item, words in machine.advises:
        assert any(row.item == item and words in row.do for row in made.rows), (item, words)


def test_a_failure_and_nothing_else_makes_the_exit_status_1(machine, tmp_path):
    made = checked(machine, tmp_path)
    fails = any(outcome == "fail" for _, _, outcome, _ in machine.says)
    assert made.status == int(fails)
    assert made.conclusion.startswith("NOT READY" if fails else "READY")


GARBAGE = (
    "", "\0\0", "x" * 5000, "0 0 0\n" * 50, "99999999999999999999999999 -1 1e9\n" * 3,
    ": , :\n\t=> (\n", "[N/A], [N/A], [N/A], [N/A], [N/A]\n", "[]", "{}", '"text"',
)  # fmt: skip


@pytest.mark.parametrize("name", ["three_tenants_on_mig", "cgroups_v1", "nftables_dropping"])
def test_answers_that_nobody_expects_stop_no_check(name, tmp_path):
    machine = load(name)
    kept = len(checked(machine, tmp_path).rows) // 2
    for path, content in list(machine.files.items()):
        for other in (*GARBAGE, content[: len(content) // 2]):
            machine.files[path] = other
            assert len(checked(machine, tmp_path).rows) > kept, (path, other)
        machine.files[path] = content
    for command, answer in list(machine.answers.items()):
        for other in (*GARBAGE, answer.out[: len(answer.out) // 2]):
            for status in (0, 1, -11):
                machine.answers[command] = replace(answer, out=other, status=status)
                assert len(checked(machine, tmp_path).rows) > kept, (command, other)
        machine.answers[command] = answer


def test_there_are_at_least_twelve_machines_that_differ():
    texts = {name: sorted(load(name).says) for name in names()}
    assert len(texts) >= 12
    assert len({str(says) for says in texts.values()}) == len(texts)
