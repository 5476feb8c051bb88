"""The commands of tenants, as far as no service has to run."""

from __future__ import annotations

import json
import os
import shutil
import socket

import pytest

from deploy.__main__ import main
from deploy.errors import DeployError
from deploy.tenants import admin_key
from deploy.tenants.admin_key import ensure_key
from deploy.tenants.processes.keeping import prepare
from gateway.auth.key_store import KeyStore
from settings.config import load_config
from tests.support.tenants import ROOT, Tenants, entry, write_tenants


@pytest.fixture
def order(tmp_path, capsys):
    """Run a command; its exit status and what it says."""
    path = write_tenants(
        tmp_path, [entry("attendance"), entry("access", (9201, 9202, 9203))]
    )  # fmt: skip

    def run(*words: str) -> tuple[int, str]:
        status = main(["tenants", *words, "--tenants", str(path)])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_render_names_what_it_has_written_and_writes_nothing_twice(order, tmp_path):
    out = tmp_path / "out"
    status, said = order("render", "--out", str(out))
    assert status == 0
    assert str(out / "nginx" / "face-tenants.conf") in said
    assert order("render", "--out", str(out)) == (0, "18 files, 0 of them new or changed\n")


def test_tenants_that_do_not_run_are_down(order):
    status, said = order("status")
    assert status == 1
    assert said.count("down") == 2
    status, said = order("status", "access", "--json")
    (document,) = json.loads(said)
    assert (document["tenant"], document["state"], document["keeper"]) == ("access", "down", None)
    assert order("down") == (0, "attendance: does not run\naccess: does not run\n")


@pytest.mark.parametrize("words", [["status", "nobody"], ["logs", "nobody"], ["up", "nobody"]])
def test_a_tenant_that_is_not_there_is_named(order, words):
    status, said = order(*words)
    assert status == 2
    assert "there is no tenant 'nobody'; there are attendance, access" in said


def test_logs_of_a_tenant_that_never_ran_say_where_they_would_be(order):
    status, said = order("logs", "access")
    assert status == 1
    assert "tenants/access/log/service.log: cannot be read" in said


def test_logs_show_the_end(order, tmp_path):
    log = tmp_path / "tenants" / "access" / "log" / "service.log"
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {n}\n" for n in range(200)))
    assert order("logs", "access", "--lines", "2") == (0, "line 198\nline 199\n")


@pytest.fixture
def base(tmp_path, models):
    """Settings in a folder that has the models."""
    shutil.copy(ROOT / "config.yml", tmp_path / "config.yml")
    os.symlink(models, tmp_path / "models")
    return load_config(tmp_path / "config.yml")


def test_a_key_is_made_once_for_its_owner_alone(base, tmp_path):
    file = tmp_path / "admin.key"
    assert ensure_key(base, file)
    first = file.read_text()
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert not ensure_key(base, file)
    assert file.read_text() == first


@pytest.mark.parametrize("spoil", ["revoked", "other", "empty", "gone"])
def test_a_key_that_opens_nothing_is_replaced(base, tmp_path, spoil):
    file = tmp_path / "admin.key"
    ensure_key(base, file)
    first = file.read_text()
    if spoil == "revoked":
        store = KeyStore(base.library_config())
        store.revoke(first.partition(".")[0])
        store.close()
    elif spoil == "other":
        file.write_text(first[:-4] + "0000")
    elif spoil == "empty":
        file.write_text("")
    else:
        file.unlink()
    file.exists() and file.chmod(0o600)
    assert ensure_key(base, file)
    assert file.read_text() != first
    assert not ensure_key(base, file)


def test_a_key_that_others_may_read_is_refused(base, tmp_path):
    file = tmp_path / "admin.key"
    ensure_key(base, file)
    file.chmod(0o644)
    with pytest.raises(DeployError, match="chmod 600"):
        ensure_key(base, file)


def test_a_key_that_cannot_be_written_is_revoked(base, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(admin_key, "write_file", fails)
    with pytest.raises(DeployError, match="No space left"):
        ensure_key(base, tmp_path / "admin.key")
    store = KeyStore(base.library_config())
    assert [key.revoked is not None for key in store.list()] == [True]
    store.close()


def test_nothing_is_started_where_one_tenants_model_is_missing(models, tmp_path):
    made = Tenants.made(tmp_path, ["one", "two"], two={"models": {"ArcFace": "nothing"}})
    status, said = made.run("up")
    assert status == 2
    assert "model nothing is not in" in said
    assert not made.processes("one")


def test_cores_that_are_not_there_are_named(models, tmp_path, capsys):
    path = write_tenants(tmp_path, [entry("attendance", cores="0,4000")])
    assert main(["tenants", "up", "--tenants", str(path)]) == 2
    assert "tenants.attendance.cores: '0,4000' is not allowed" in capsys.readouterr().err


def test_a_database_that_is_away_is_told_in_a_line(models, tmp_path, capsys):
    away = entry("attendance", database="postgresql://faces@127.0.0.1:1/faces")
    path = write_tenants(tmp_path, [away])
    assert main(["tenants", "keys", "--tenants", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("deploy: ")
    assert said.count("\n") == 1


def test_a_port_that_is_taken_is_named_and_the_tenant_is_not_tried_for_ever(models, tmp_path):
    made = Tenants.made(tmp_path, ["one"])
    port = made.file.tenant("one").ports.gateway
    try:
        with socket.create_server(("127.0.0.1", port)):
            status, said = made.run("up")
        assert status == 1
        assert f"one: not started: {tmp_path}" in said
        assert f"gateway.port: cannot listen on 127.0.0.1:{port}" in said
        assert made.state("one").state == "failed"
        assert made.keeper("one") is None
    finally:
        made.close()


@pytest.fixture
def two(models, tmp_path):
    """Two tenants that do not run, the second with a folder of its own for backups."""
    return Tenants.made(tmp_path, ["one", "two"], two={"backups": str(tmp_path / "safe")})


def test_a_command_of_the_service_runs_with_a_tenants_settings(two):
    words = ("gateway", "keys", "create", "--role", "admin", "--json")
    made = json.loads(two.done("exec", "one", *words))
    ids = {}
    for name in two.names:
        store = KeyStore(prepare(two.file, two.file.tenant(name)).library_config())
        ids[name] = [key.id for key in store.list()]
        store.close()
    assert ids == {"one": [made["id"]], "two": []}


def test_a_command_for_a_tenant_has_its_secrets_and_its_exit_status_is_told(tmp_path, models):
    secrets = tmp_path / "secrets"
    secrets.write_text("DATABASE_PASSWORD=sesame\n")
    secrets.chmod(0o600)
    url = "postgresql://faces:${DATABASE_PASSWORD}@127.0.0.1:1/faces"
    made = Tenants.made(tmp_path, ["one"], one={"database": url, "secrets": str(secrets)})
    # Without the variable it would be 2, for settings that cannot be used.
    status, said = made.run("exec", "one", "library", "stats")
    assert (status, "database_unavailable" in said) == (1, True), said
    assert "sesame" not in said


def test_only_the_services_own_commands_are_run(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["tenants", "exec", "one", "sh", "-c", "true"])
    assert ended.value.code == 2
    assert "'sh' is not one of 'library'" in capsys.readouterr().err


def test_backups_and_drills_are_of_each_tenant_in_its_own_folder(two, tmp_path, capsys):
    def run(*words: str) -> tuple[int, str]:
        status = main(["tenants", *words, "--tenants", str(two.path)])
        said = capsys.readouterr()
        return status, said.out + said.err

    def counts() -> tuple[int, int]:
        own = two.file.tenant("one").data / "backups"
        return len([*own.glob("library-*.db")]), len([*tmp_path.glob("safe/library-*.db")])

    status, said = run("drill")
    assert status == 1
    assert said.count("no backup in ") == 2
    assert run("backup")[0] == 0
    assert counts() == (1, 1)
    assert run("backup", "two")[0] == 0
    assert counts() == (1, 2)
    status, said = run("drill")
    assert status == 0
    assert said.count("passed, in ") == 2


def test_one_that_cannot_be_backed_up_is_named_and_the_others_are(models, tmp_path, capsys):
    away = {"database": "postgresql://faces@127.0.0.1:1/faces"}
    made = Tenants.made(tmp_path, ["one", "two"], one=away)
    assert main(["tenants", "backup", "--tenants", str(made.path)]) == 1
    assert "deploy: one: database_unavailable: " in capsys.readouterr().err
    assert len([*made.file.tenant("two").backups.glob("library-*.db")]) == 1
