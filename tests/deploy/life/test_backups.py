"""``python -m deploy backup``: what it writes, and what it may take of a disk."""

from __future__ import annotations

import json
import stat
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.__main__ import main
from deploy.life import backups
from deploy.life.backups import Backup, backups_in, superfluous
from library.store.store import Store
from settings.config import load_config
from settings.library import BackupConfig
from tests.deploy.life.conftest import fill


@pytest.fixture
def config(settings_of, tmp_path):
    path = settings_of(f"sqlite:///{tmp_path}/data/faces.db", keep=3)
    fill(path)
    return path


def made(count: int, size: int) -> list[Backup]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [Backup(Path(str(n)), start + timedelta(days=n), size) for n in range(count)]


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (BackupConfig(keep=3), ["2", "3", "4"]),
        (BackupConfig(keep=9), ["0", "1", "2", "3", "4"]),
        (BackupConfig(keep=9, bytes=250), ["3", "4"]),
        # The newest stays, however large it is.
        (BackupConfig(keep=9, bytes=1), ["4"]),
    ],
)
def test_the_oldest_go_and_the_newest_never(limits, left):
    all_of_them = made(5, 100)
    gone = superfluous(all_of_them, limits)
    assert [str(one.path) for one in all_of_them if one not in gone] == left


def test_backups_stay_within_their_number_and_the_library_forgets_those_that_go(
    config, capsys, tmp_path
):
    foreign = tmp_path / "backups" / "library-by-hand.db"
    foreign.parent.mkdir()
    foreign.write_text("of the operator")
    for _ in range(5):
        assert main(["backup", "--config", str(config)]) == 0
    files = backups_in(tmp_path / "backups")
    assert len(files) == 3
    assert foreign.read_text() == "of the operator"
    assert capsys.readouterr().out.count("removed ") == 2
    with Store(load_config(config).library_config()) as store:
        assert [one.path for one in store.backups()] == [one.path for one in files]
    # Nobody else may read faces.
    assert stat.S_IMODE((tmp_path / "backups").stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in files[0].path.parent.glob("library-2*")}
    assert modes == {0o600}
    assert len(list(files[0].path.parent.glob("*.sha256"))) == 3


def test_a_backup_is_told_to_programs(config, capsys):
    assert main(["backup", "--config", str(config), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert Path(told["backup"]).stat().st_size <= told["bytes"]
    assert told["removed"] == []


def test_a_disk_without_room_for_it_is_left_alone(config, capsys, monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(backups.shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    assert main(["backup", "--config", str(config)]) == 1
    assert "set library.backups.dir to another disk" in capsys.readouterr().err
    assert backups_in(tmp_path / "backups") == []
