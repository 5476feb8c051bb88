"""A service that enrols, and every command there is beside it; then it is killed, and counted."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gateway.__main__ import program as gateway_program
from library.__main__ import program as library_program
from tests.support.gateway.alone import LoneGateway
from tests.support.gateway.client import FACE, App, version
from tests.support.processes.command_server import ROOT, Commands
from tests.support.processes.live_files import Watch
from tests.support.service import wait_until

pytestmark = [pytest.mark.attack, pytest.mark.service]

INVALID_KEY = 110


@pytest.fixture
def watch(tmp_path):
    """Over whoever opens the databases of this test's gateway."""
    folder = tmp_path / "watch"
    folder.mkdir()
    home = tmp_path / "home"
    return Watch(folder, [home / "faces.db", home / "data" / "tokens.db"], ROOT)


@pytest.fixture
def gateway(service, tmp_path, watch):
    """A gateway that asks for keys."""
    (tmp_path / "home").mkdir()
    made = LoneGateway(
        tmp_path / "home",
        service,
        watch.environment,
        {"database": "sqlite:///faces.db", "store_crops": True},
        access="on",
    )
    yield made
    made.kill()


@pytest.fixture
def commands(gateway, watch):
    """Commands with the gateway's settings."""
    made = Commands(gateway.config, watch.environment)
    yield made
    made.close()


class Enrolling:
    """Users of one group, enrolled one after the other by a picture each until `end`.

    done: those that were acknowledged, in their order.
    """

    def __init__(self, app: App) -> None:
        self.done: list[str] = []
        self._app = app
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._end.is_set():
            user = f"u{len(self.done)}"
            self._app.enrol("staff", user, version(user))
            self.done.append(user)

    def wait_for_more(self) -> None:
        """Until some more are enrolled."""
        before = len(self.done)
        assert wait_until(lambda: len(self.done) >= before + 5, 60), "enrolling has stopped"

    def end(self) -> None:
        self._end.set()
        self._thread.join()


class Key:
    """A key that a command has made."""

    def __init__(self, commands: Commands, gateway: LoneGateway, *arguments: str) -> None:
        made = json.loads(commands.done("gateway", "keys", "create", "--json", *arguments))
        self.id = made["id"]
        self.app = App(gateway.url, "", headers={"x-api-key": f"{made['id']}.{made['secret']}"})

    @property
    def code(self) -> int:
        return self.app.code("group/list", appid="shop")


def run_every_command(commands: Commands, folder: Path, picture: Path, model: str) -> set[str]:
    """Each with arguments that take nothing away but the user `goes`; which those were."""
    app = ("--app", "shop")
    used = []

    def run(status: int, name: str, *arguments: object) -> str:
        used.append(name)
        got, output = commands.run("library", name, *arguments)
        assert got == status, (name, arguments, output)
        return output

    run(0, "import", picture.parent.parent, "--group", "imported", *app)
    run(0, "stats", "--json")
    run(0, "export", folder / "all.jsonl", *app)
    run(0, "search", picture, *app)
    run(0, "verify")
    run(0, "verify", "--repair")
    run(0, "reembed", "--model", model, *app)
    run(0, "backup", folder / "other.backup")
    run(1, "restore", folder / "other.backup")
    run(1, "delete-user", "goes", "--compact", *app)  # 1: the backup still has the user
    return set(used)


@pytest.mark.timeout(500)  # some thirty processes, on a machine that may be busy
def test_commands_beside_a_service_cost_nothing_that_was_acknowledged(
    gateway, commands, watch, tmp_path
):
    gateway.start()
    picture = tmp_path / "people" / "someone" / "a.png"
    picture.parent.mkdir(parents=True)
    picture.write_bytes(base64.b64decode(FACE))
    writer = Key(commands, gateway, "--app", "shop", "--role", "write")
    kept = Key(commands, gateway, "--app", "shop", "--role", "read")
    revoked = Key(commands, gateway, "--app", "shop", "--role", "read")
    writer.app.result("group/add", group_id="staff")
    writer.app.enrol("staff", "goes", FACE)
    assert kept.code == revoked.code == 0
    enrolling = Enrolling(writer.app)
    try:
        for _ in range(3):
            commands.done("gateway", "keys", "list")
            enrolling.wait_for_more()
        commands.done("gateway", "keys", "revoke", revoked.id)
        other = Key(commands, gateway, "--app", "other", "--role", "write")
        other.app.result("group/add", group_id="staff")
        assert "other" in commands.done("gateway", "apps", "list")
        commands.done("gateway", "apps", "delete", "other")
        assert wait_until(lambda: other.app.code("group/list") == INVALID_KEY, 30)
        later = Key(commands, gateway, "--app", "shop", "--role", "read")
        enrolling.wait_for_more()
        before_backup = list(enrolling.done)
        commands.done("library", "backup", tmp_path / "meanwhile.backup")
        model = json.loads(commands.done("library", "stats", "--json"))["apps"][0]["recogniser"]
        used = run_every_command(commands, gateway.directory, picture, model)
        assert used == set(library_program.commands), "every command there is takes part"
        assert set(gateway_program.commands) == {"keys", "apps"}
        assert wait_until(lambda: revoked.code == INVALID_KEY, 30)
        enrolling.wait_for_more()
    finally:
        enrolling.end()
    gateway.kill()
    gateway.start()
    assert watch.opened() == ""
    with closing(sqlite3.connect(tmp_path / "meanwhile.backup")) as backup:
        copied = {name for (name,) in backup.execute("SELECT name FROM person")}
    assert set(before_backup) <= copied
    users = set(writer.app.result("user/list", group_id="staff", length=1000)["user_id_list"])
    assert len(enrolling.done) > 20
    assert set(enrolling.done) <= users
    assert "goes" not in users
    assert writer.app.users("imported") == ["someone"]
    assert (kept.code, later.code, revoked.code) == (0, 0, INVALID_KEY)
    assert commands.done("library", "verify").strip().endswith("all is well")


def test_no_command_takes_the_database_for_a_file_of_its_own(commands, gateway, watch, tmp_path):
    """Under no name: it would be replaced, or lose its locks."""
    commands.done("library", "stats")
    database = gateway.directory / "faces.db"
    before = database.stat().st_ino
    commands.done("library", "backup", tmp_path / "good.backup")
    linked, symlink = tmp_path / "linked.db", tmp_path / "people" / "someone" / "a.png"
    os.link(database, linked)
    symlink.parent.mkdir(parents=True)
    os.link(database, symlink)
    for path in (
        database,
        linked,
        Path(f"{database}-journal"),
        gateway.directory / "data/tokens.db",
    ):
        for arguments in (
            ("backup", path),
            ("restore", path, "--replace"),
            ("export", path),
            ("search", path),
        ):
            status, output = commands.run("library", *arguments)
            assert status == 1, arguments
            assert len(output.splitlines()) == 1
        assert "backup_is_database" in commands.run("library", "backup", path)[1]
    report = ("--report", database, "--group", "staff")
    status, output = commands.run("library", "import", tmp_path / "people", *report)
    assert (status, "cannot be written" in output) == (1, True)
    assert watch.opened() == ""
    assert database.stat().st_ino == before
    assert "all is well" in commands.done("library", "verify")
