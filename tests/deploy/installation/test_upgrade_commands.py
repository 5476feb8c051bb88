"""``python -m deploy upgrade`` and ``rollback``: what they hand to the installer."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.__main__ import main
from deploy.bundling import commands


@pytest.fixture
def told(tmp_path, monkeypatch) -> list[list[str]]:
    """An installed release whose installer only notes what it is told."""
    release = tmp_path / "faces" / "releases" / "0.1.0-aaaaaaaaaa"
    release.mkdir(parents=True)
    (release.parent.parent / "installation.json").write_text("{}")
    monkeypatch.setattr(commands, "ROOT", release)
    found: list[list[str]] = []
    monkeypatch.setattr(commands, "install", lambda words: found.append(words) or 0)
    return found


def test_they_work_where_their_release_is_installed(told, tmp_path):
    prefix = ["--prefix", str(tmp_path / "faces")]
    assert main(["upgrade", "--bundle", "next.tar", "--no-check"]) == 0
    assert main(["rollback", "--dry-run"]) == 0
    assert told == [
        ["--bundle", "next.tar", "--no-check", *prefix],
        ["--rollback", *prefix, "--dry-run"],
    ]


def test_a_checkout_is_installed_by_its_own_installer(told, tmp_path):
    source = tmp_path / "checkout"
    (source / "deploy").mkdir(parents=True)
    assert main(["upgrade", "--source", str(source)]) == 1
    program = source / "deploy" / "install"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/words\nexit 3\n')
    program.chmod(0o755)
    assert main(["upgrade", "--source", str(source), "--dry-run"]) == 3
    words = Path(tmp_path / "words").read_text()
    assert words == f"--dry-run --prefix {tmp_path / 'faces'}\n"


@pytest.mark.parametrize("words", [["upgrade"], ["upgrade", "--bundle", "a", "--source", "b"]])
def test_an_upgrade_is_to_one_release(told, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "Give --bundle or --source" in capsys.readouterr().err


def test_in_a_checkout_there_is_nothing_to_upgrade(capsys):
    assert main(["rollback"]) == 1
    assert "is not an installed release" in capsys.readouterr().err
