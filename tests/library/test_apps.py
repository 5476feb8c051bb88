"""Apps are made with their first group, and deleted with all that they have."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from sqlalchemy import func, select

from gateway.__main__ import main
from gateway.auth.key_store import KeyStore
from library.errors import DatabaseError, IndexUnavailableError
from library.face_token_file import KnownFace, TokenFile, new_entry
from library.index.milvus.index import MilvusIndex
from library.sql.tables import METADATA
from library.sync.index_storage import collection_of
from tests.support.libraries.faces import enrolment, vectors
from tests.support.libraries.in_folder import library_config, open_library, snapshots
from tests.support.libraries.shop import content, raises
from tests.support.service import ROOT, wait_until


def rows(store) -> dict[str, int]:
    """How many rows each table has."""
    with store._database.reading() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table))
            for table in METADATA.sorted_tables
        }


def test_an_app_tells_when_it_was_made(staffed):
    now = datetime.now(UTC)
    shop, bank = staffed.app_records()
    assert (shop.app, bank.app) == ("shop", "bank")
    assert now - timedelta(minutes=5) < shop.created <= bank.created <= now + timedelta(seconds=1)


def test_a_deleted_app_leaves_nothing_and_takes_nothing_from_others(staffed):
    staffed.delete_user("shop", "u4")
    before = content(staffed, "bank")
    staffed.clear_app("shop")
    assert staffed.apps() == ["shop", "bank"], "its row is left for what is to be done yet"
    staffed.delete_app("shop")
    assert staffed.apps() == ["bank"]
    assert content(staffed, "bank") == before
    left = rows(staffed)
    assert (left["app"], left["face_group"], left["person"], left["face"]) == (1, 1, 1, 1)
    assert (left["entry"], left["removal"], left["crop"]) == (1, 0, 0)
    assert list(staffed.check()) == []
    with raises("app_not_found"):
        staffed.delete_app("shop")
    staffed.create_group("shop", "staff")
    assert staffed.users("shop", "staff") == []


def shop(library):
    library.create_group("shop", "staff")
    library.enrol("shop", [enrolment("staff", f"u{seed}", seed) for seed in range(5)])
    library.create_group("bank", "staff")
    library.enrol("bank", [enrolment("staff", "other", 9)])


@pytest.mark.parametrize("kind", ["exact", "approximate"])
def test_the_index_goes_with_the_app_here_and_elsewhere(tmp_path, kind):
    index = {"kind": kind}
    with open_library(tmp_path, index=index) as library:
        shop(library)
        library.save_snapshot("shop")
        library.save_snapshot("bank")
        both = snapshots(tmp_path)
        assert len(both) == 2
        with open_library(tmp_path, index=index) as other:
            assert other.search("shop", [vectors(1)[0]])[0][0].user == "u0"
            library.delete_app("shop")
            for one in (library, other):
                with raises("app_not_found"):
                    one.search("shop", [vectors(1)[0]])
            assert wait_until(lambda: "shop" not in other._indexes._apps, 30)
        assert "shop" not in library._indexes._apps
        assert snapshots(tmp_path) == both[1:]
        assert library.search("bank", [vectors(1, 9)[0]])[0][0].user == "other"


def test_the_collection_in_milvus_goes_with_the_app(milvus_file, tmp_path):
    with open_library(tmp_path, index={"kind": "milvus", "milvus_uri": milvus_file}) as library:
        shop(library)
        assert library.search("shop", [vectors(1)[0]])[0][0].user == "u0"
        collection = collection_of(library.store.versions("shop")["shop"])
        library.delete_app("shop")
        again = MilvusIndex(collection, milvus_file)
        assert (again.version, len(again)) == (0, 0)
        again.drop()
        assert library.search("bank", [vectors(1, 9)[0]])[0][0].user == "other"
        library.delete_app("bank")


def test_a_deletion_that_was_cut_off_is_done_by_the_next(tmp_path, monkeypatch):
    with open_library(tmp_path) as library:
        shop(library)
        library.save_snapshot("shop")

        def cut(*_):
            raise DatabaseError("database_unavailable")

        with monkeypatch.context() as patch:
            patch.setattr(library.store, "delete_app", cut)
            with raises("database_unavailable"):
                library.delete_app("shop")
        with monkeypatch.context() as patch:
            patch.setattr(library._indexes._storage, "discard", cut_off)
            with raises("index_unavailable", IndexUnavailableError):
                library.delete_app("shop")
        assert library.store.apps() == ["shop", "bank"]
        library.delete_app("shop")
        assert library.store.apps() == ["bank"]
        assert not any("app-1." in path.name for path in snapshots(tmp_path))


def cut_off(*_):
    raise OSError(5, "Input/output error")


def test_what_was_kept_of_an_app_that_is_gone_goes_at_the_next_start(tmp_path):
    """As of one that was deleted while this service was not there."""
    with open_library(tmp_path) as library:
        shop(library)
    assert len(snapshots(tmp_path)) == 2
    with open_library(tmp_path, index={"snapshot_dir": ""}) as library:
        library.delete_app("shop")
    assert len(snapshots(tmp_path)) == 2
    with open_library(tmp_path) as library:
        assert [path.name for path in snapshots(tmp_path)] == ["app-2.index"]


@pytest.fixture
def run(tmp_path, capsys):
    """Runs `python -m gateway` on the library in the folder; status, and what it printed."""
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["library"] = {"database": "sqlite:///faces.db"}
    (tmp_path / "config.yml").write_text(yaml.safe_dump(settings))

    def run(*arguments):
        status = main([*arguments, "--config", str(tmp_path / "config.yml")])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_the_command_lists_apps_and_when_they_were_made(run, tmp_path):
    with open_library(tmp_path) as library:
        shop(library)
        made = library.store.app_records()[0].created
    run("keys", "create", "--app", "shop", "--role", "read")
    told = json.loads(run("apps", "list", "--json")[1])
    assert told[0] == {
        "app": "shop", "created": made.isoformat(timespec="seconds"),
        "groups": 1, "users": 5, "faces": 5, "keys": 1,
    }  # fmt: skip
    status, out = run("apps", "list")
    (row,) = [line for line in out.splitlines() if line.startswith("shop")]
    assert (status, row.split()) == (0, ["shop", *f"{made:%Y-%m-%d %H:%M} UTC 1 5 5 1".split()])


def test_the_command_deletes_an_app_with_keys_tokens_and_index(run, tmp_path):
    with open_library(tmp_path) as library:
        shop(library)
    for app in ("shop", "bank"):
        run("keys", "create", "--app", app, "--role", "write")
    tokens = TokenFile(tmp_path / "data" / "tokens.db")
    tokens.write(
        [
            new_entry(
                KnownFace(app * 8, app, "m", vectors(1, 3)[0], {}, 0.9, None, None, None),
                time.time(),
            )
            for app in ("shop", "bank")
        ]
    )
    tokens.close()
    status, out = run("apps", "delete", "shop")
    assert (status, "app shop is deleted, and 1 of its keys are revoked" in out) == (0, True)
    assert [one["app"] for one in json.loads(run("apps", "list", "--json")[1])] == ["bank"]
    keys = KeyStore(library_config(tmp_path))
    assert [(key.app, key.revoked is None) for key in keys.list()] == [
        ("shop", False),
        ("bank", True),
    ]
    keys.close()
    with closing(sqlite3.connect(tmp_path / "data" / "tokens.db")) as file:
        assert [app for (app,) in file.execute("SELECT app FROM face_tokens")] == ["bank"]
    for path in (one for one in tmp_path.rglob("*") if one.is_file()):
        for vector in vectors(1, 0)[0], vectors(1, 4)[0]:
            assert vector.tobytes() not in path.read_bytes(), path
    status, out = run("apps", "delete", "shop")
    assert (status, "app_not_found" in out) == (1, True)


def test_the_command_names_the_backups_that_still_have_the_app(run, tmp_path):
    with open_library(tmp_path) as library:
        shop(library)
        library.store.backup(tmp_path / "old.backup")
    status, out = run("apps", "delete", "shop")
    assert (status, f"still in the backup {tmp_path / 'old.backup'}" in out) == (1, True)


def test_keys_of_an_app_that_has_no_group_yet_are_revoked(run, tmp_path):
    run("keys", "create", "--app", "early", "--role", "write")
    assert run("apps", "delete", "early")[0] == 0
    assert run("apps", "delete", "early")[0] == 1
