"""Database servers that are locked, gone, or say no: a clear error, and on it goes."""

from __future__ import annotations

import psutil
import pytest
from sqlalchemy import text

from library.store.store import Store
from settings.library import LibraryConfig
from tests.support.libraries.databases import Server
from tests.support.libraries.shop import BATCH, assert_only, fails, one_user
from tests.support.service import wait_until


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_locked_row_is_told_after_the_time_set(system, request, open_store):
    url = request.getfixturevalue(system).new_database()
    store = one_user(open_store(url, database_timeout_s=1))
    with store._database.engine.connect() as other:
        other.execute(text("UPDATE app SET version = version"))
        with fails("database_locked"):
            store.enrol("shop", BATCH)
        assert store.face("shop", "t"), "reading goes on"
        other.rollback()
    assert_only(store, "a")


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_server_that_is_gone_and_back(system, request, open_store):
    server: Server = request.getfixturevalue(system)
    store = one_user(open_store(server.new_database(), database_timeout_s=2))
    for with_signal in (None, 9):
        server.stop(with_signal)
        try:
            for call in (
                lambda: store.enrol("shop", BATCH),
                lambda: store.face("shop", "t"),
                lambda: store.versions(),
            ):
                with fails("database_unavailable"):
                    call()
        finally:
            server.start()
        assert_only(store, "a")


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_server_that_goes_amid_a_transaction(system, request, open_store):
    server: Server = request.getfixturevalue(system)
    store = one_user(open_store(server.new_database(), database_timeout_s=2))

    def work(connection):
        connection.execute(text("UPDATE app SET version = version + 1"))
        sessions = psutil.Process(server.pid).children(recursive=True)
        server.stop(9)
        # PostgreSQL's sessions notice a moment later, and may answer until then.
        assert wait_until(lambda: all(map(is_gone, sessions)), 60)
        connection.execute(text("DELETE FROM removal"))

    try:
        with fails("database_unavailable"):
            store._database.write(work)
    finally:
        server.start()
    assert store.versions()["shop"].version == 1
    assert_only(store, "a")


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_a_wrong_address_is_told_without_the_password(system, request):
    url: str = request.getfixturevalue(system).url("missing")
    nobody = url.replace("//", "//nobody:secret@", 1).replace("faces@", "").replace("root@", "")
    for wrong in (url, nobody):
        with fails("database_unavailable") as error:
            Store(LibraryConfig(database=wrong, database_timeout_s=1))
        assert "secret" not in str(error.value)


# What the server is made to say, and the code of it; None is tried again.


SAID = {
    "postgresql": {
        "53100": "database_full",
        "25006": "database_read_only",
        "57P03": "database_unavailable",
        "55P03": "database_locked",
        "XX001": "database_damaged",
        "40001": None,
        "40P01": None,
    },
    "mariadb": {
        1021: "database_full",
        1114: "database_full",
        1290: "database_read_only",
        1205: "database_locked",
        1040: "database_unavailable",
        1213: None,
    },
}


SAY = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'said' USING ERRCODE = '{}'; END $$",
    "mariadb": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}, MESSAGE_TEXT = 'said'",
}


@pytest.mark.parametrize("system", ["postgresql", "mariadb"])
def test_what_a_server_says_is_told_in_the_librarys_codes(system, request, open_store):
    store = one_user(open_store(request.getfixturevalue(system).new_database()))
    for number, code in SAID[system].items():
        attempts = []

        def work(connection, number=number, attempts=attempts):
            connection.execute(text("UPDATE app SET version = version + 1"))
            attempts.append(number)
            if len(attempts) < 3:
                connection.exec_driver_sql(SAY[system].format(number))

        if code is None:
            before = store.versions()["shop"].version
            store._database.write(work)
            assert len(attempts) == 3
            assert store.versions()["shop"].version == before + 1
        else:
            with fails(code):
                store._database.write(work)
    assert_only(store, "a")


def test_an_interrupted_making_of_the_tables_is_finished_on_mariadb(mariadb, open_store):
    url = mariadb.new_database()
    open_store(url).close()
    name = url.rpartition("/")[2]
    for table in ("alembic_version", "removal", "entry", "crop"):
        mariadb.ask(f"DROP TABLE {name}.{table}")
    assert_only(one_user(open_store(url)), "a")


def test_a_database_of_a_newer_version_is_refused(store, database_url):
    with store._database.engine.begin() as connection:
        version = connection.scalar(text("SELECT version_num FROM alembic_version"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        with fails("database_version"):
            Store(LibraryConfig(database=database_url))
    finally:
        with store._database.engine.begin() as connection:
            connection.execute(
                text("UPDATE alembic_version SET version_num = :version"), {"version": version}
            )
