"""From one release to another and back, with a library: a backup first, migrations, the link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from deploy.installation import release, units
from deploy.installation.errors import InstallError
from deploy.installation.host import Host
from deploy.installation.layout import Layout, Wish
from deploy.installation.switch import Switch
from deploy.life.backups import backups_in
from deploy.life.migrations import Migrations, move, state
from library.store.store import Store
from settings.config import load_config
from tests.deploy.life.conftest import fill
from tests.support.service import ROOT

pytestmark = pytest.mark.usefixtures("in_process")
OLD, NEW = "0.1.0-aaaaaaaaaa", "0.2.0-bbbbbbbbbb"


class QuietHost(Host):
    """This machine without a user of the service and without systemd."""

    def __init__(self) -> None:
        super().__init__(staged=False)

    @property
    def has_systemd(self) -> bool:
        return False


@pytest.fixture
def layout(base_project, tmp_path) -> Layout:
    """Two releases, of which the older one knows the first migration only, and a library."""
    found = Layout(tmp_path, "/opt")
    for name, library in ((OLD, "0001"), (NEW, "0002")):
        folder = found.releases / name
        folder.mkdir(parents=True)
        release.copy(base_project, folder)
        (folder / ".venv").symlink_to(ROOT / ".venv")
        release.write_record(folder, release.Record(name, "cpu", "3.12", (), library, "0001"))
    found.settings.mkdir(parents=True)
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["library"]["database"] = f"sqlite:///{tmp_path}/data/faces.db"
    settings["library"]["backups"]["dir"] = str(tmp_path / "backups")
    settings["gateway"]["token_file"] = str(tmp_path / "data/tokens.db")
    found.config.write_text(yaml.safe_dump(settings))
    fill(found.config)
    move(load_config(found.config), Migrations("0001", "0001"))
    return found


@pytest.fixture
def switch(layout):
    return Switch(layout, QuietHost(), Wish(), print)


def at(layout: Layout) -> tuple[str | None, str | None, str | None]:
    """The releases that are linked, and where the library is."""
    links = (layout.release_of(layout.current), layout.release_of(layout.previous))
    return (*links, state(load_config(layout.config)).library)


def users(layout: Layout) -> int:
    with Store(load_config(layout.config).library_config()) as store:
        return len(store.users("default", "staff"))


def test_an_upgrade_backs_up_and_migrates_and_a_rollback_goes_back(layout, switch, tmp_path):
    switch.to(OLD)
    assert at(layout) == (OLD, None, "0001")
    assert backups_in(tmp_path / "backups") == []
    switch.to(NEW)
    assert at(layout) == (NEW, OLD, "0002")
    assert len(backups_in(tmp_path / "backups")) == 1
    assert users(layout) == 30
    assert switch.back() == OLD
    assert at(layout) == (OLD, NEW, "0001")
    assert len(backups_in(tmp_path / "backups")) == 2
    assert (layout.units / units.SERVICE).is_file()
    assert users(layout) == 30


def test_a_release_that_does_not_come_up_gives_way_to_the_old_one(layout, switch, monkeypatch):
    switch.to(OLD)
    started = []

    def start(layout, host):
        started.append(layout.release_of(layout.current))
        if started[-1] == NEW:
            raise InstallError("systemctl start face-serving.service ended with status 1")

    monkeypatch.setattr(units, "is_running", lambda host: True)
    monkeypatch.setattr(units, "start", start)
    with pytest.raises(InstallError, match=f"ended with status 1; release {OLD} runs as before"):
        switch.to(NEW)
    assert started == [NEW, OLD]
    assert at(layout) == (OLD, None, "0001")


def test_settings_that_the_new_release_cannot_read_stop_it_before_anything_is_done(
    layout, switch, tmp_path
):
    switch.to(OLD)
    layout.config.write_text(layout.config.read_text() + "\nnowhere: 1\n")
    with pytest.raises(InstallError, match="migrate --show"):
        switch.to(NEW)
    assert layout.release_of(layout.current) == OLD
    assert backups_in(tmp_path / "backups") == []


def test_without_a_release_from_before_there_is_no_way_back(layout, switch):
    switch.to(OLD)
    with pytest.raises(InstallError, match="no release to go back to"):
        switch.back()
    with pytest.raises(InstallError, match="is not complete"):
        switch.to("0.3.0-cccccccccc")


def test_of_old_releases_three_are_kept(tmp_path, capsys):
    layout = Layout(tmp_path, "/opt")
    switch = Switch(layout, Host(staged=True), Wish(), print)
    for number in range(6):
        folder = layout.releases / f"0.{number}.0-aaaaaaaaaa"
        (folder / "deploy").mkdir(parents=True)
        record = release.Record(folder.name, "cpu", "3.12", (), "0002", "0001")
        release.write_record(folder, record)
        os.utime(folder, (number, number))
    for number in (0, 3):
        switch.to(f"0.{number}.0-aaaaaaaaaa")
    switch._prune()
    left = sorted(path.name[:5] for path in layout.releases.iterdir())
    # What runs, what ran before, and the newest.
    assert left == ["0.0.0", "0.3.0", "0.5.0"]
    assert Path(os.readlink(layout.current)).name.startswith("0.3")
