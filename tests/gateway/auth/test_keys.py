"""Keys of the gateway in the library's database, on every system."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text, update

from gateway.auth.key_store import GATEWAY, METADATA, KeyStore, access_key
from gateway.auth.keys import hash_of
from library.errors import InvalidError
from library.sql.schema import is_current
from library.store.store import Store
from settings.library import LibraryConfig
from tests.support.libraries.shop import fails, one_user

URLS = ["sqlite", "postgresql", "mariadb"]


@pytest.fixture(params=URLS)
def config(request, tmp_path):
    """Settings of a library on a new database, of each system in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/faces.db"
    else:
        url = request.getfixturevalue(request.param).new_database()
    return LibraryConfig(database=url, database_timeout_s=5)


@pytest.fixture
def keys(config):
    store = KeyStore(config)
    yield store
    store.close()


def test_a_key_is_found_by_its_id_and_its_secret_is_not_stored(keys):
    key, secret = keys.create("shop", "write", "the till 收银台", 2.5)
    assert keys.find(key.id) == key
    assert (key.app, key.role, key.comment, key.rate) == ("shop", "write", "the till 收银台", 2.5)
    assert key.used is None
    assert key.revoked is None
    assert len(secret) * 4 == 256
    assert key.secret_hash == hash_of(secret)
    with keys._opened() as database, database.reading() as connection:
        assert secret not in str(connection.execute(access_key.select()).all())
    assert key.secret_hash.hex() not in repr(key)
    assert keys.find("ak_" + "0" * 24) is None


def test_keys_are_listed_in_the_order_of_their_making_also_those_revoked(keys):
    made = [keys.create(f"app{number}", "read")[0].id for number in range(3)]
    made.append(keys.create(None, "admin")[0].id)
    keys.revoke(made[1])
    listed = keys.list()
    assert sorted(key.id for key in listed) == sorted(made)
    assert [key.created for key in listed] == sorted(key.created for key in listed)
    assert [key.id for key in listed if key.revoked] == [made[1]]
    assert [key.app for key in listed if key.role == "admin"] == [None]


def test_a_key_is_revoked_once(keys):
    key, _ = keys.create("shop", "read")
    revoked = keys.revoke(key.id)
    assert revoked.revoked is not None
    assert keys.revoke(key.id) == revoked == keys.find(key.id)
    for unknown in ("ak_" + "0" * 24, "ak_unknown", "", "钥匙", "a\0b", "\udce4"):
        assert keys.revoke(unknown) is None
        assert keys.find(unknown) is None


def test_the_use_of_a_key_is_noted_once_an_hour(keys):
    key, other = keys.create("shop", "read")[0], keys.create("shop", "read")[0]
    keys.note_use(key.id)
    first = keys.find(key.id).used
    assert first is not None
    keys.note_use(key.id)
    assert keys.find(key.id).used == first
    hour_ago = round(first.timestamp() * 1000) - 3_600_001
    with keys._opened() as database:
        database.write(
            lambda connection: connection.execute(update(access_key), {"used": hour_ago})
        )
    keys.note_use(key.id)
    assert keys.find(key.id).used >= first
    assert keys.find(other.id).used < first


@pytest.mark.parametrize(
    ("app", "role", "comment", "rate"),
    [
        ("shop", "owner", "", None),
        ("shop", "admin", "", None),
        (None, "write", "", None),
        ("a shop", "read", "", None),
        ("", "read", "", None),
        ("s" * 256, "read", "", None),
        ("shop", "read", "a\nb", None),
        ("shop", "read", "\x1b[2J", None),
        ("shop", "read", "\udce4", None),
        ("shop", "read", "c" * 201, None),
        ("shop", "read", "", -1.0),
        ("shop", "read", "", float("nan")),
        ("shop", "read", "", 1e7),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(tmp_path, app, role, comment, rate):
    keys = KeyStore(LibraryConfig(database=f"sqlite:///{tmp_path}/faces.db"))
    with pytest.raises(InvalidError):
        keys.create(app, role, comment, rate)
    assert not list(tmp_path.iterdir()), "nothing was opened for it"


def test_a_new_sqlite_file_is_its_owners_only(tmp_path):
    keys = KeyStore(LibraryConfig(database=f"sqlite:///{tmp_path}/data/faces.db"))
    keys.create("shop", "read")
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys.close()


def test_many_open_a_new_database_at_once(config):
    stores = [KeyStore(config) for _ in range(6)]
    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(lambda store: store.create("shop", "read"), stores))
    assert len(stores[0].list()) == len(stores)
    for store in stores:
        store.close()


def test_the_table_is_that_which_the_migrations_make(keys):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    keys.list()
    with keys._opened() as database, database.reading() as connection:
        assert is_current(connection)
        assert is_current(connection, GATEWAY)
        options = {
            "version_table": GATEWAY.version_table,
            "include_name": lambda name, kind, _: kind != "table" or name in METADATA.tables,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_a_database_of_a_newer_version_is_refused(keys, config):
    keys.list()
    with keys._opened() as database:
        newer = text("UPDATE gateway_version SET version_num = '9999'")
        database.write(lambda connection: connection.execute(newer))
    later = KeyStore(config)
    with fails("database_version"):
        later.list()
    later.close()
    with Store(config) as library:
        assert library.apps() == [], "the library's tables are not concerned"


def test_a_table_that_has_gone_with_a_database_put_back_is_made_again(keys):
    keys.create("shop", "read")
    with keys._opened() as database:
        for table in ("access_key", "gateway_version"):
            drop = text(f"DROP TABLE {table}")
            database.write(lambda connection, drop=drop: connection.execute(drop))
    with fails("database_unavailable"):
        keys.list()
    assert keys.list() == []


def test_a_backup_of_the_library_holds_no_key_and_putting_it_back_keeps_those_there(
    keys, config, tmp_path
):
    key, _ = keys.create("shop", "read", "SECRET COMMENT")
    with Store(config) as library:
        one_user(library)
        library.backup(tmp_path / "backup.db")
        written = (tmp_path / "backup.db").read_bytes()
        for trace in (key.id, key.secret_hash.hex(), "SECRET COMMENT"):
            assert trace.encode() not in written
        later, _ = keys.create("shop", "read")
        library.restore(tmp_path / "backup.db", replace=True)
        assert library.users("shop", "staff") == ["a"]
        library.compact()
    assert {one.id for one in keys.list()} == {key.id, later.id}
