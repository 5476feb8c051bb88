"""``python -m gateway keys``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml

from gateway.__main__ import main
from gateway.auth.access import Access
from tests.support.gateway.access import INVALID, LET_IN, ROOT, at, becomes, config_in, error_of


@pytest.fixture
def settings(tmp_path):
    """The settings' file of a gateway in a folder of this test."""
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["library"] = {"database": "sqlite:///faces.db"}
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def run(capsys, settings):
    """Runs a command; its status and what it printed."""

    def run(*arguments):
        try:
            status = main(["--config", str(settings), *arguments])
        except SystemExit as end:
            status = end.code
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def create(run, *arguments):
    status, out, _ = run("keys", "create", "--json", *arguments)
    assert status == 0
    return json.loads(out)


def test_a_key_is_made_listed_and_revoked_while_the_service_runs(run, tmp_path):
    with at(Access(config_in(tmp_path))) as client:
        status, out, err = run("keys", "create", "--app", "shop", "--role", "write")
        assert status == 0
        assert "shown this once" in err
        shown = dict(line.rsplit(maxsplit=1) for line in out.splitlines())
        credential = shown["X-Api-Key"]
        assert credential == f"{shown['client id']}.{shown['client secret']}"
        assert error_of(client, credential, role="write") == LET_IN
        status, out, _ = run("keys", "revoke", shown["client id"])
        assert (status, shown["client id"] in out) == (0, True)
        assert becomes(INVALID, lambda: error_of(client, credential))


def test_the_list_shows_everything_but_secrets(run):
    admin = create(run, "--role", "admin", "--rate", "2.5", "--comment", "[bold]运维")
    reader = create(run, "--role", "read", "--app", "shop", "--rate", "0")
    run("keys", "revoke", admin["id"])
    status, table, _ = run("keys", "list")
    assert status == 0
    for shown in (admin["id"], reader["id"], "(any)", "shop", "2.5/s", "[bold]运维"):
        assert shown in table
    listed = json.loads(run("keys", "list", "--json")[1])
    assert [(one["id"], one["app"], one["rate"]) for one in listed] == [
        (admin["id"], None, 2.5),
        (reader["id"], "shop", 0.0),
    ]
    assert listed[0]["revoked"]
    assert listed[1]["revoked"] is None
    for text in (table, json.dumps(listed)):
        assert admin["secret"] not in text
        assert "secret" not in text


def test_an_unknown_key_is_told_and_the_others_are_revoked(run):
    key = create(run, "--role", "read", "--app", "shop")
    status, out, err = run("keys", "revoke", "ak_unknown", key["id"])
    assert status == 1
    assert "ak_unknown" in err
    assert key["id"] in out
    assert run("keys", "revoke", key["id"])[0] == 0, "revoked is what it was to be"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "read"], "app"),
        (["--role", "admin", "--app", "shop"], "app"),
        (["--role", "read", "--app", "a shop"], "'a shop'"),
        (["--role", "owner", "--app", "shop"], "owner"),
        (["--role", "read", "--app", "shop", "--rate", "-1"], "-1"),
        (["--role", "read", "--app", "shop", "--rate", "nan"], "nan"),
        (["--role", "read", "--app", "shop", "--comment", "a\nb"], "comment"),
        (["--app", "shop"], "--role"),
        (["--role", "read", "--app", "shop", "--secret", "x"], "--secret"),
    ],
)
def test_wrong_usage_is_told_and_makes_no_key(run, arguments, said):
    status, out, err = run("keys", "create", *arguments)
    assert status == 2
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert json.loads(run("keys", "list", "--json")[1]) == []


def test_settings_or_a_database_that_cannot_be_used_are_told(run, settings, tmp_path):
    (tmp_path / "faces.db").write_text("no database, but a text that is long enough" * 100)
    status, _, err = run("keys", "list")
    assert status == 1
    assert "database_damaged" in err
    settings.write_text("gateway: 1")
    status, _, err = run("keys", "list")
    assert status == 2
    assert str(settings) in err


def test_a_key_whose_secret_nobody_could_read_is_revoked(settings, run):
    command = [sys.executable, "-m", "gateway", "keys", "create", "--role", "admin"]
    reading, writing = os.pipe()
    os.close(reading)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [*command, "--config", str(settings)],
        cwd=ROOT,
        env=buffered,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == "gateway: the output cannot be written: Broken pipe\n"
    assert json.loads(run("keys", "list", "--json")[1])[0]["revoked"]
