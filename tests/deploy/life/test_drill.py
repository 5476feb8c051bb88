"""``python -m deploy drill``: the newest backup restored beside the library, of each system."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from deploy.__main__ import main
from deploy.errors import DeployError
from deploy.life import beside, drill
from deploy.life.backups import newest
from library.sql.database import Database
from library.store.store import Store
from settings.config import load_config
from tests.deploy.life.conftest import fill
from tests.support.libraries.faces import enrolment


@pytest.fixture
def config(settings_of, new_database):
    path = settings_of(new_database)
    fill(path)
    assert main(["backup", "--config", str(path)]) == 0
    return path


def drilled(config, capsys, *options: str) -> tuple[int, dict]:
    capsys.readouterr()
    status = main(["drill", "--config", str(config), "--json", *options])
    return status, json.loads(capsys.readouterr().out)


def places(config) -> list[str]:
    """What a drill could have left: folders, schemas, databases."""
    library = load_config(config).library_config()
    left = [path.name for path in library.backup_dir().glob(".*")]
    if library.database_file() is not None:
        return left
    database = Database(library, bring_up=False)
    with database.engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT schema_name FROM information_schema.schemata")
        left += [name for (name,) in names if "drill" in name]
    database.close()
    return left


def test_a_good_backup_passes_and_nothing_is_left(config, capsys):
    status, told = drilled(config, capsys)
    assert (status, told["passed"]) == (0, True)
    rows = {row["item"]: row for row in told["rows"]}
    assert rows["app default: faces"]["restored"] == "30"
    assert rows["app default: entries"]["backup"] == "31"
    assert rows["app default: sampled faces"]["live"] == "30"
    assert rows["app other: digest"]["backup"] == rows["app other: digest"]["restored"]
    assert rows["verify"]["restored"] == "good"
    assert places(config) == []
    with Store(load_config(config).library_config()) as store:
        assert len(store.users("default", "staff")) == 30


def test_what_came_and_went_since_the_backup_is_told_and_no_fault(config, capsys):
    with Store(load_config(config).library_config()) as store:
        store.enrol("default", [enrolment("staff", "later", 77)])
        store.delete_user("default", "user3")
        store.delete_user("default", "user4")
    status, told = drilled(config, capsys)
    assert status == 0
    rows = {row["item"]: row for row in told["rows"]}
    assert rows["app default: faces"]["note"] == "-1 since the backup"
    assert rows["app default: sampled faces"]["note"] == "2 of them deleted since the backup"


def test_an_embedding_that_is_another_in_the_live_library_is_found(config, capsys):
    library = load_config(config).library_config()
    with Store(library) as store:
        token = store.faces("other", "staff", "ada")[0].token
        store.delete_user("other", "ada")
        store.enrol("other", [enrolment("staff", "ada", 2000, token=token)])
    status, told = drilled(config, capsys)
    assert status == 1
    wrong = [row["item"] for row in told["rows"] if row["problem"]]
    assert wrong == ["app other: sampled faces"]


def test_what_a_killed_drill_has_left_goes_with_the_next(config, capsys, monkeypatch):
    library = load_config(config).library_config()
    with (
        beside.place_beside(library),
        pytest.raises(DeployError, match="another drill"),
        beside.place_beside(library),
    ):
        pass
    # As after SIGKILL: nothing is cleared away.
    drop = dict(beside._DROP)
    monkeypatch.setattr(beside, "_DROP", dict.fromkeys(drop, "SELECT 1"))
    folder = library.backup_dir() / ".drill-left"
    folder.mkdir()
    with beside.place_beside(library):
        pass
    monkeypatch.setattr(beside, "_DROP", drop)
    assert drilled(config, capsys)[0] == 0
    shutil.rmtree(folder, ignore_errors=True)
    assert places(config) == []


# One system is enough for what follows.


@pytest.fixture
def plain(settings_of, tmp_path):
    path = settings_of(f"sqlite:///{tmp_path}/data/faces.db")
    fill(path)
    assert main(["backup", "--config", str(path)]) == 0
    return path


def test_a_damaged_backup_fails_and_says_why(plain, capsys):
    path = newest(load_config(plain).library_config()).path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    status, told = drilled(plain, capsys)
    assert (status, told["passed"]) == (1, False)
    problems = {row["item"]: row["problem"] for row in told["rows"]}
    assert "differs from" in problems["checksum"]
    assert problems["restore"].startswith("backup_unreadable")
    assert places(plain) == []


def test_a_restored_library_that_lacks_something_fails(plain, capsys, monkeypatch):
    restore = Store.restore

    def forgetful(store, path, **options):
        restore(store, path, **options)
        store.delete_user("default", "user5")

    monkeypatch.setattr(Store, "restore", forgetful)
    status, told = drilled(plain, capsys)
    wrong = {row["item"] for row in told["rows"] if row["problem"]}
    assert status == 1
    assert {"app default: users", "app default: faces", "app default: digest"} <= wrong


def test_an_older_backup_can_be_named_and_people_get_a_table(plain, capsys):
    first = newest(load_config(plain).library_config()).path
    assert main(["backup", "--config", str(plain)]) == 0
    capsys.readouterr()
    assert main(["drill", "--config", str(plain), "--backup", str(first)]) == 0
    out = capsys.readouterr().out
    assert str(first) in out
    assert "passed, in " in out


def test_without_a_backup_it_says_how_to_make_one(settings_of, tmp_path, capsys):
    config = settings_of(f"sqlite:///{tmp_path}/data/faces.db")
    assert main(["drill", "--config", str(config)]) == 1
    assert "-m deploy backup makes one" in capsys.readouterr().err


def test_a_backup_of_an_earlier_release_is_drilled_as_well(plain):
    library = load_config(plain).library_config()
    path = newest(library).path
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE token_key")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.commit()
    path.with_name(f"{path.name}.sha256").unlink()
    report = drill.run(library, path)
    assert [row.item for row in report.problems] == ["checksum"]
