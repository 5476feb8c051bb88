"""``python -m deploy check`` as an operator uses it after an installation."""

from __future__ import annotations

import io
import json
import sys

import pytest
import yaml
from rich.console import Console

from deploy.__main__ import main
from deploy.check.finding import Outcome
from deploy.check.report import Report, Row, plain_lines, show
from deploy.check.run import printable, report
from tests.support.recorded_machine import load
from tests.support.texts import ROOT


def checked(capsys, *arguments: str) -> tuple[int, dict]:
    status = main(["check", "--json", *arguments])
    return status, json.loads(capsys.readouterr().out)


def of(document: dict, item: str) -> list[dict]:
    return [one for one in document["items"] if one["item"] == item]


@pytest.fixture
def config(tmp_path):
    """Writes the project's settings with changes into a folder of its own; its file."""

    def write(**changes):
        settings = yaml.safe_load((ROOT / "config.yml").read_text())
        settings["models_dir"] = str(ROOT / "models")
        for key, value in changes.items():
            section, _, name = key.rpartition("__")
            (settings[section] if section else settings)[name] = value
        file = tmp_path / "config.yml"
        file.write_text(yaml.safe_dump(settings, sort_keys=False))
        return file

    return write


def test_the_document_says_what_the_table_says(config, capsys, monkeypatch):
    # So wide that no name is broken into lines.
    monkeypatch.setenv("COLUMNS", "400")
    file = config()
    status, document = checked(capsys, "--config", str(file))
    assert document["status"] == status
    assert document["format"] == 1
    assert sum(document["counts"].values()) == len(document["items"])
    assert set(document["counts"]) == {"pass", "fail", "warning", "not applicable"}
    for one in document["items"]:
        assert bool(one["do"]) == (one["outcome"] in ("fail", "warning")), one
    main(["check", "--config", str(file)])
    printed = " ".join(capsys.readouterr().out.split())
    for one in document["items"]:
        assert one["name"] in printed


def test_settings_that_are_valid_are_what_is_checked(config, capsys):
    _, document = checked(capsys, "--config", str(config(rpc_host="0.0.0.0", http_port=0)))
    assert of(document, "service.settings")[0]["outcome"] == "pass"
    (wide,) = of(document, "network.pipeline_address")
    assert (wide["outcome"], wide["found"]) == ("warning", "0.0.0.0:18091")
    assert "rpc_host" in wide["do"]
    assert {one["subject"].split()[0] for one in of(document, "network.port")} == {
        "rpc_port", "gateway.port",
    }  # fmt: skip


def test_settings_that_cannot_be_used_are_a_failure_that_names_the_key(config, capsys):
    status, document = checked(capsys, "--config", str(config(replicas=0)))
    (settings,) = of(document, "service.settings")
    assert (status, settings["outcome"]) == (1, "fail")
    assert "replicas" in settings["found"]
    assert of(document, "service.models")[0]["outcome"] == "not applicable"


def test_a_file_that_is_not_there_is_a_failure(tmp_path, capsys):
    status, document = checked(capsys, "--config", str(tmp_path / "none.yml"))
    assert status == 1
    assert "cannot be read" in of(document, "service.settings")[0]["found"]


@pytest.mark.parametrize(
    ("role", "there", "away"),
    [("pipeline", "service.models", "service.database"),
     ("gateway", "service.database", "processor.avx2")],
)  # fmt: skip
def test_a_role_leaves_out_what_is_of_the_other(config, capsys, role, there, away):
    _, document = checked(capsys, "--config", str(config()), "--for", role)
    assert document["role"] == role
    assert of(document, there)
    assert not of(document, away)
    keys = {one["subject"].split()[0] for one in of(document, "network.port")}
    assert keys == ({"gateway.port"} if role == "gateway" else {"rpc_port", "http_port"})


def test_a_gpu_that_is_asked_for_and_not_there_is_a_failure(config, capsys, monkeypatch):
    file = config()
    settings = yaml.safe_load(file.read_text())
    settings["op"]["Detection"]["devices"] = "0"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    monkeypatch.setattr("deploy.check.probes.gpu._pci_cards", lambda _: 0)
    monkeypatch.setattr("deploy.check.probes.gpu._module_version", lambda _: None)
    status, document = checked(capsys, "--config", str(file))
    (card,) = of(document, "gpu.card")
    assert (status, card["outcome"]) == (1, "fail")
    assert of(document, "system.python_gpu")


def test_the_needs_of_a_tenant_file_are_checked(config, capsys, tmp_path):
    file = tmp_path / "tenants.yml"
    file.write_text(
        "tenants:\n"
        "  - {name: attendance, cores: 0-4095, memory: 4096TiB,\n"
        "     ports: {pipeline_http: 20001, pipeline_rpc: 20002, gateway: 20003}}\n"
    )
    status, document = checked(capsys, "--config", str(config()), "--expect", str(file))
    assert status == 1
    assert of(document, "tenants.memory")[0]["outcome"] == "fail"
    assert of(document, "tenants.cores")[0]["outcome"] == "fail"
    assert {one["subject"] for one in of(document, "network.port")} == {
        "attendance pipeline_http 20001", "attendance pipeline_rpc 20002",
        "attendance gateway 20003",
    }  # fmt: skip


def test_wrong_usage_is_status_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", "--for", "nobody"])
    assert ended.value.code == 2
    assert "--for" in capsys.readouterr().err


ROWS = tuple(
    Row("network.port", "gateway.port 8300", "port", "free", "[bold]java[/] (process 7)", outcome,
        "End it." if outcome in (Outcome.FAIL, Outcome.WARNING) else "")
    for outcome in Outcome
)  # fmt: skip


def test_what_was_found_is_printed_as_it_is():
    out = io.StringIO()
    show(Report("all", ROWS), Console(file=out, width=120, markup=False, highlight=False))
    printed = out.getvalue()
    assert "[bold]java[/] (process 7)" in printed
    assert printed.count("End it.") == 2
    assert printed.splitlines()[-1].startswith("NOT READY: 1 failure, 1 warning; 1 item passed")


def test_plain_lines_say_the_same():
    lines = "\n".join(plain_lines(Report("all", ROWS[:1])))
    assert "[bold]java[/] (process 7)" in " ".join(lines.split())
    assert lines.endswith("READY: no failures, no warnings; 1 item passed, 0 not applicable.")


@pytest.mark.parametrize(
    "changes",
    [{"library__database": "postgresql://faces:open-sesame@127.0.0.1"},
     {"library__database": "postgresql://faces:open@sesame@db/"},
     {"library": {"index": {"milvus_token": "root:open-sesame", "probes": 0}}},
     {"library": {"index": {"milvus_token": "root:open-sesame${NOBODY_HAS_THIS}"}}},
     {"library": "postgresql://faces:open-sesame@127.0.0.1/faces"}],
)  # fmt: skip
def test_settings_that_cannot_be_used_show_no_secret(config, capsys, changes):
    file = config(**changes)
    status, document = checked(capsys, "--config", str(file))
    assert status == 1
    assert "sesame" not in json.dumps(document)


def test_names_of_others_processes_cannot_reach_into_the_terminal():
    assert printable("java\x1b[2J\n(process 7) 人") == "java?[2J?(process 7) 人"


def test_a_probe_that_hangs_is_a_failure_and_the_others_go_on():
    machine = load("no_gpu")
    machine.hanging.update({"/proc/meminfo", "getconf", "/proc/net/tcp", "/dev/shm"})
    made = report(machine, machine.carries(), [], "all")
    found = {row.item: row for row in made.rows}
    assert found["memory.total"].outcome is Outcome.FAIL
    assert found["memory.total"].found == "/proc/meminfo gave no answer within 5 s"
    assert found["memory.swap"].outcome is Outcome.NOT_APPLICABLE
    assert found["system.glibc"].outcome is Outcome.FAIL
    assert found["network.port"].outcome is Outcome.FAIL
    assert found["processor.cores"].outcome is Outcome.PASS
    assert found["disk.space"].outcome is Outcome.PASS
    assert made.status == 1


def test_a_package_that_cannot_be_imported_is_a_failure_that_names_it(config, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "deploy.check.probes.database", None)
    monkeypatch.delattr("deploy.check.probes.database", raising=False)
    monkeypatch.setitem(sys.modules, "deploy.check.probes.service", None)
    monkeypatch.delattr("deploy.check.probes.service", raising=False)
    status, document = checked(capsys, "--config", str(config()))
    (packages,) = of(document, "service.packages")
    assert (status, packages["outcome"]) == (1, "fail")
    assert "deploy.check.probes.service" in packages["found"]


def test_a_running_service_has_its_ports_and_is_well(service, capsys):
    _, document = checked(capsys, "--config", str(service.config))
    ports = {one["subject"].split()[0]: one for one in of(document, "network.port")}
    assert set(ports) == {"rpc_port", "http_port", "gateway.port"}
    for one in ports.values():
        assert one["outcome"] == "pass"
        assert one["found"].startswith("this service has it: ")
    (health,) = of(document, "service.health")
    assert (health["outcome"], health["found"]) == ("pass", "it says that it is well")
    assert of(document, "service.database_tables")[0]["found"] == "as this release has them"


def test_another_service_on_its_ports_is_told_with_its_settings(service, config, capsys):
    file = config(rpc_port=service.rpc_port, http_port=0)
    status, document = checked(capsys, "--config", str(file))
    rpc, _ = of(document, "network.port")
    assert (status, rpc["outcome"]) == (1, "fail")
    assert rpc["found"].startswith("another service of this kind has it")
    assert str(service.config) in rpc["found"]
    assert str(service.config) in rpc["do"]
