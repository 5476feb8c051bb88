"""A disk that is full, a database that takes no writes, pages that are gone: health tells it."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from library.sql import page_check, write_probe
from library.store.store import Store
from settings.library import LibraryConfig
from tests.library.store.test_files import file_size_limit, small_disk  # noqa: F401 - a fixture
from tests.support.gateway.alone import LoneGateway
from tests.support.gateway.client import FACE, App, version
from tests.support.libraries.faces import enrolment
from tests.support.libraries.shop import fails, one_user
from tests.support.service import wait_until

pytestmark = pytest.mark.attack

SOON_S = 60.0
# Overwrites pages of a database with zeros, or with what it prints; in a process of its own, as
# closing the file would take this process's locks from it.
_OVERWRITE = """
import sys
with open(sys.argv[1], "r+b", buffering=0) as file:
    start, size = map(int, sys.argv[2:4])
    file.seek(start)
    content = file.read(size) if len(sys.argv) == 4 else bytes.fromhex(sys.stdin.read())
    file.seek(start)
    file.write(bytes(len(content)) if len(sys.argv) == 4 else content)
    print(content.hex())
"""


class Zeroed:
    """A database whose pages behind the first have become zeros, until they are put back."""

    def __init__(self, file) -> None:
        with closing(sqlite3.connect(file)) as connection:
            move = "PRAGMA wal_checkpoint(TRUNCATE)"
            # The first column: whether readers have kept it from that.
            assert wait_until(lambda: connection.execute(move).fetchone()[0] == 0, SOON_S)
        self._file = str(file)
        self._start, self._size = 8192, file.stat().st_size - 8192
        self._content = self._run()

    def _run(self, *arguments, text="") -> str:
        command = [sys.executable, "-c", _OVERWRITE, self._file, str(self._start), str(self._size)]
        done = subprocess.run(
            [*command, *arguments], input=text, capture_output=True, text=True, check=True
        )
        return done.stdout

    def put_back(self) -> None:
        self._run("back", text=self._content)


@pytest.fixture
def store(tmp_path):
    """A library on SQLite with a user."""
    with one_user(Store(LibraryConfig(database=f"sqlite:///{tmp_path}/faces.db"))) as made:
        yield made


@pytest.fixture
def at_once(monkeypatch):
    """Writes are tried each time, damage is looked for all the time."""
    monkeypatch.setattr(write_probe, "RECENT_S", 0.0)
    monkeypatch.setattr(page_check, "_TICK_S", 0.01)
    monkeypatch.setattr(page_check, "_AGAIN_S", 0.01)


def is_damaged(store) -> bool:
    return store._database.damage is not None


def test_a_file_that_cannot_grow_is_noticed_without_a_write_of_a_user(store, tmp_path, at_once):
    wal = (tmp_path / "faces.db-wal").stat().st_size
    store.check_health()
    assert (tmp_path / "faces.db-wal").stat().st_size > wal, "it was written"
    with file_size_limit((tmp_path / "faces.db-wal").stat().st_size):
        for _ in range(2):
            with pytest.raises(Exception, match="disk") as error:
                store.check_health()
            assert error.value.code in ("database_full", "database_unavailable")
        assert store.face("shop", "t"), "reading goes on"
    store.check_health()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_write_that_was_refused_is_known_until_one_is_taken(store, tmp_path):
    store.check_health()
    with file_size_limit(1000):
        with pytest.raises(Exception, match="disk"):
            store.enrol("shop", [enrolment("staff", "b", 2)])
        with pytest.raises(Exception, match="disk"):
            store.check_health()
    store.check_health()


def test_trying_makes_no_index_think_of_changes_and_leaves_nothing(store, at_once, tmp_path):
    before = store.versions()
    for _ in range(20):
        store.check_health()
    assert store.versions() == before
    assert store.backups() == []
    assert list(store.check()) == []


def test_who_writes_for_long_is_no_fault_but_one_who_never_ends_is(
    store, tmp_path, at_once, monkeypatch
):
    with closing(sqlite3.connect(tmp_path / "faces.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.check_health()
        monkeypatch.setattr(write_probe, "LOCKED_S", 0.0)
        with fails("database_locked"):
            store.check_health()
        threads = [one for one in threading.enumerate() if one.name == "write-probe"]
        assert len(threads) == 1, "whoever waits, waits once"
        other.execute("ROLLBACK")
    assert wait_until(lambda: not threads[0].is_alive(), SOON_S)
    store.check_health()


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_server_that_takes_no_writes_is_told(system, request, open_store, at_once):
    server = request.getfixturevalue(system)
    url = server.new_database()
    store = one_user(open_store(url))
    before = store.versions()
    store.check_health()
    assert store.versions() == before
    name = url.rpartition("/")[2]
    turn = {
        "postgresql": f"ALTER DATABASE {name} SET default_transaction_read_only = {{}}",
        "mariadb": "SET GLOBAL tx_read_only = {}",
    }[system]
    server.ask(turn.format("on"))
    try:
        store.close()
        with fails("database_read_only"):
            store.check_health()
        assert store.face("shop", "t")
    finally:
        server.ask(turn.format("off"))
    store.close()
    store.check_health()


@pytest.mark.parametrize("small", [page_check.SMALL, 0], ids=["whole", "in portions"])
def test_zeroed_pages_are_noticed_and_forgotten_when_they_are_back(
    tmp_path, small, at_once, monkeypatch
):
    monkeypatch.setattr(page_check, "SMALL", small)
    monkeypatch.setattr(page_check, "PORTION", 7)
    monkeypatch.setattr(page_check, "_LONGEST_PAUSE_S", 0.001)
    file = tmp_path / "faces.db"
    with one_user(
        Store(LibraryConfig(database=f"sqlite:///{file}", database_check_s=0.01))
    ) as store:
        store.enrol("shop", [enrolment("staff", f"u{n}", n) for n in range(300)])
        store.watch()
        store.check_health()
        zeroed = Zeroed(file)
        assert wait_until(lambda: is_damaged(store), SOON_S), "nobody has read them"
        with fails("database_damaged"):
            store.check_health()
        zeroed.put_back()
        assert wait_until(lambda: not is_damaged(store), SOON_S)
        store.check_health()
        assert len(store.users("shop", "staff")) == 301


def test_a_sound_database_is_never_taken_for_damaged_while_others_write(
    tmp_path, at_once, monkeypatch
):
    """In portions, as a large one; and everything is walked through."""
    monkeypatch.setattr(page_check, "PORTION", 5)
    monkeypatch.setattr(page_check, "_LONGEST_PAUSE_S", 0.0)
    file = tmp_path / "faces.db"
    with one_user(Store(LibraryConfig(database=f"sqlite:///{file}"))) as store:
        for number in range(30):
            store.enrol("shop", [enrolment("staff", f"u{number}_{n}", n) for n in range(10)])
            if number % 3 == 0:
                store.delete_user("shop", f"u{number}_0")
            monkeypatch.setattr(page_check, "SMALL", 0 if number % 2 else 1 << 30)
            assert all(pause >= 0 for pause in page_check._looks(file))
        monkeypatch.setattr(page_check, "SMALL", 0)
        steps = sum(1 for _ in page_check._looks(file))
        assert steps > 5 * 300 / 5


def test_damage_that_a_call_meets_is_told_at_once(tmp_path):
    file = tmp_path / "faces.db"
    with one_user(Store(LibraryConfig(database=f"sqlite:///{file}"))) as store:
        store.enrol("shop", [enrolment("staff", f"u{n}", n) for n in range(300)])
        store.close()
        Zeroed(file)
        with fails("database_damaged"):
            store.users("shop", "staff")
        with fails("database_damaged"):
            store.check_health()


def turns(gateway: LoneGateway, status: int) -> list[str]:
    """The reasons of /health once it answers with a status."""
    assert wait_until(lambda: gateway.health().status_code == status, SOON_S), gateway.health().text
    return list(gateway.health().json()["reasons"])


@pytest.fixture
def started(service, tmp_path):
    """Starts a gateway with the library that is named; it is gone when the test ends."""
    made = []

    def start(**library):
        library = {"database": "sqlite:///faces.db", **library}
        made.append(LoneGateway(tmp_path, service, library=library).start())
        assert turns(made[-1], 200) == []
        return made[-1]

    yield start
    for one in made:
        one.kill()


@pytest.mark.service
def test_a_service_on_a_full_disk_says_so_and_recovers_by_itself(small_disk, started):  # noqa: F811
    gateway = started(database=f"sqlite:///{small_disk}/faces.db")
    app = App(gateway.url, "shop")
    app.result("group/add", group_id="staff")
    app.enrol("staff", "ada", FACE)
    ballast = small_disk / "ballast"
    fill = ["dd", "if=/dev/zero", f"of={ballast}", "bs=4k"]
    assert subprocess.run(fill, check=False, capture_output=True).returncode == 1, "no room"
    (reason,) = turns(gateway, 503)
    assert "database_full" in reason
    assert app.users("staff") == ["ada"], "reading goes on"
    ballast.unlink()
    assert turns(gateway, 200) == []
    app.enrol("staff", "grace", version("grace"))


@pytest.mark.service
def test_a_service_whose_pages_are_zeroed_says_so(started, tmp_path):
    gateway = started(database_check_s=1)
    app = App(gateway.url, "shop")
    app.result("group/add", group_id="staff")
    app.enrol("staff", "ada", FACE)
    zeroed = Zeroed(tmp_path / "faces.db")
    (reason,) = turns(gateway, 503)
    assert "database_damaged" in reason
    zeroed.put_back()
    assert turns(gateway, 200) == []
    assert app.users("staff") == ["ada"]
