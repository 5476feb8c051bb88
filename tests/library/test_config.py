"""The library's settings: paths, addresses, variables, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from settings.library import LibraryConfig


def settings(**values):
    return LibraryConfig.model_validate(values)


def test_the_default_is_a_file_beside_the_settings():
    config = settings(folder=Path("/srv/faces"))
    assert config.database_file() == Path("/srv/faces/data/faces.db")
    assert config.snapshot_dir() == Path("/srv/faces/data/snapshots")


def test_an_absolute_path_stays_as_it_is():
    config = settings(folder=Path("/srv"), database="sqlite:////var/faces.db")
    assert config.database_file() == Path("/var/faces.db")
    assert settings(index={"snapshot_dir": ""}).snapshot_dir() is None


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("mysql://u@h:3307/d", "mysql+pymysql"),
        ("mariadb://u@h/d?charset=utf8mb4", "mariadb+pymysql"),
    ],
)
def test_a_server_is_spoken_to_with_the_driver_that_is_installed(given, driver):
    config = settings(database=given)
    assert config.url().drivername == driver
    assert config.database_file() is None


def test_a_password_comes_from_the_environment_whatever_it_is(monkeypatch):
    monkeypatch.setenv("FACES_PASSWORD", "a@b:c/d?e#${f}")
    config = settings(
        database="postgresql://faces:${FACES_PASSWORD}@localhost/faces",
        index={"milvus_token": "root:${FACES_PASSWORD}"},
    )
    assert config.url().password == "a@b:c/d?e#${f}"
    assert config.url().host == "localhost"
    assert config.index.milvus_token == "root:a@b:c/d?e#${f}"
    assert "a@b" not in str(config.url())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"database": "faces.db"}, "a database URL is expected"),
        ({"database": "oracle://u@h/d"}, "sqlite, postgresql, mysql, mariadb"),
        ({"database": "sqlite://"}, "would lose the faces"),
        ({"database": "sqlite:///:memory:"}, "would lose the faces"),
        ({"database": "postgresql://u@h"}, "the name of a database"),
        ({"database": "postgresql://u:${MISSING_X}@h/d"}, "MISSING_X is not set"),
        ({"database_timeout_s": 0}, "greater than or equal to 0.1"),
        ({"limits": {"faces_per_user": 0}}, "greater than or equal to 1"),
        ({"limits": {"user_id_bytes": 256}}, "less than or equal to 255"),
        ({"index": {"kind": "best"}}, "exact|approximate|milvus"),
        ({"index": {"probes": 0}}, "greater than or equal to 1"),
        ({"unknown": 1}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_can(monkeypatch, values, said):
    monkeypatch.delenv("MISSING_X", raising=False)
    with pytest.raises(ValidationError) as error:
        settings(**values)
    assert said in str(error.value)
