"""Libraries of each database system, with settings of their own."""

from __future__ import annotations

import pytest
import yaml

from library.store.store import Store
from settings.config import load_config
from tests.support.libraries.faces import enrolment
from tests.support.service import ROOT


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def new_database(request, tmp_path) -> str:
    """The URL of a database that nobody has opened yet, of each system in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/data/faces.db"
    return request.getfixturevalue(request.param).new_database()


@pytest.fixture
def settings_of(tmp_path):
    """Writes a config.yml with a database and limits of backups; its path."""

    def write(database: str, **backups):
        settings = yaml.safe_load((ROOT / "config.yml").read_text())
        settings["models_dir"] = str(ROOT / "models")
        settings["library"]["database"] = database
        settings["library"]["backups"].update(dir="backups", **backups)
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


def fill(config, users: int = 30) -> None:
    """Two apps: one with users in two groups, one of whom is shared, and one with one user."""
    with Store(load_config(config).library_config()) as store:
        for app, groups in (("default", ("staff", "guests")), ("other", ("staff",))):
            for group in groups:
                store.create_group(app, group)
        store.enrol("default", [enrolment("staff", f"user{n}", n, f"名 {n}") for n in range(users)])
        store.copy_user("default", "user1", "staff", "guests")
        store.enrol("other", [enrolment("staff", "ada", 1000)])
