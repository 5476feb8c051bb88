"""The tenant file to start from."""

from __future__ import annotations

import os

import pytest
import yaml

from deploy.__main__ import main
from deploy.errors import DeployError
from deploy.tenants.first_file import first_file, memory_here
from deploy.tenants.tenant_file import load_tenants
from settings.config import ConfigError
from tests.support.texts import Text

GIB = 1 << 30
NAMES = ("attendance", "access", "visitors")


@pytest.fixture
def made(tmp_path):
    """The tenants of a machine with these cores and so much memory."""

    def make(cores, memory=16 * GIB, names=NAMES, first_port=8400):
        path = tmp_path / "tenants.yml"
        path.write_text(first_file(path, names, first_port, cores, memory))
        return load_tenants(path).tenants

    return make


def test_cores_are_divided_among_the_tenants_in_neighbours(made):
    tenants = made(range(8))
    assert [one.cores for one in tenants] == ["0-1", "2-4", "5-7"]
    assert not any(one.shared_cores for one in tenants)


def test_cores_that_this_user_may_not_have_are_left_out(made):
    assert [one.cores for one in made([2, 3, 6, 7, 8, 12])] == ["2-3", "6-7", "8,12"]


def test_where_there_are_fewer_cores_than_tenants_some_are_shared(made):
    tenants = made(range(2))
    assert [one.cores for one in tenants] == ["0", "1", "0"]
    assert [one.shared_cores for one in tenants] == [True, False, True]


@pytest.mark.parametrize(("machine", "each"), [(256, 4096), (16, 4096), (9, 2304), (6, 1536)])
def test_a_quarter_of_the_memory_is_left_to_the_system(made, machine, each):
    assert {one.memory for one in made(range(8), machine * GIB)} == {f"{each}MiB"}


def test_more_tenants_than_the_memory_is_enough_for_are_refused(made):
    with pytest.raises(DeployError, match=r"1280 MiB of memory each.* has enough for 2"):
        made(range(8), 5 * GIB)


def test_each_has_three_ports_of_its_own_that_follow_each_other(made):
    found = [(one.ports.gateway, one.ports.pipeline_http, one.ports.pipeline_rpc)
             for one in made(range(8), first_port=9000)]  # fmt: skip
    assert found == [(9000, 9001, 9002), (9003, 9004, 9005), (9006, 9007, 9008)]


@pytest.mark.parametrize(
    ("names", "first_port", "said"),
    [
        (("a", "a"), 8400, "tenants.a.name: 'a' is not allowed: a has it"),
        (("UPPER",), 8400, "tenants.0.name: 'UPPER' is not allowed"),
        (("a",), 65_534, "tenants.a.ports.pipeline_rpc: 65536 is not allowed"),
    ],
)
def test_what_no_tenant_file_may_say_is_refused(made, names, first_port, said):
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        made(range(8), names=names, first_port=first_port)


def test_the_entry_that_the_document_shows_is_the_one_that_is_made(tmp_path):
    text = first_file(tmp_path / "tenants.yml", NAMES, 8400, range(8), 16 * GIB)
    shown = next(content for language, content in Text("docs/operating.md").blocks
                 if language == "yaml")  # fmt: skip
    assert yaml.safe_load(shown) == yaml.safe_load(text)["tenants"][:1]


def test_the_memory_of_a_container_is_its_limit(tmp_path):
    limit = tmp_path / "memory.max"
    machine = memory_here([limit])
    limit.write_text("max\n")
    assert memory_here([limit]) == machine
    limit.write_text(f"{1 << 20}\n")
    assert memory_here([limit]) == 1 << 20


def test_the_command_writes_a_file_for_this_machine_and_never_over_another(tmp_path, capsys):
    path = tmp_path / "tenants.yml"
    words = ["tenants", "new", "attendance", "--first-port", "9000", "--tenants", str(path)]
    assert main(words) == 0
    (one,) = load_tenants(path).tenants
    assert set(one.core_numbers) == os.sched_getaffinity(0)
    assert one.ports.gateway == 9000
    before = path.read_text()
    assert main(words) == 1
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == before
