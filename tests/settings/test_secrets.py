"""Secrets from files and from systemd's credentials, in the settings that take them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from settings.config import ConfigError, load_config
from settings.library import IndexConfig, LibraryConfig
from settings.secrets import MOST_BYTES, filled_in
from tests.support.service import ROOT

SECRET = "p@ss:/${HOME}%41?#"


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "a@b secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o640)
    return path


def test_a_password_from_a_file_may_hold_any_character(file):
    url = LibraryConfig(database=f"postgresql://faces:${{file:{file}}}@db.example/faces").url()
    assert (url.password, url.username, url.host) == (SECRET, "faces", "db.example")
    assert SECRET not in str(url)


def test_user_and_password_may_come_from_different_places(file, monkeypatch):
    monkeypatch.setenv("FACE_USER", "ada")
    database = f"postgresql://${{FACE_USER}}:${{file:{file}}}@db.example/faces"
    url = LibraryConfig(database=database).url()
    assert (url.username, url.password) == ("ada", SECRET)


def test_the_whole_address_may_come_from_a_file(file):
    file.write_text("mysql://ada:word@db.example/faces\n")
    url = LibraryConfig(database=f"${{file:{file}}}").url()
    assert (url.drivername, url.password, url.database) == ("mysql+pymysql", "word", "faces")


def test_a_credential_of_systemd_is_read_from_its_folder(file, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    file.rename(file.parent / "milvus-token").chmod(0o400)
    assert IndexConfig(milvus_token="${credential:milvus-token}").milvus_token == SECRET


def test_what_a_secret_holds_is_not_looked_through_for_references(file):
    file.write_text("${HOME}")
    assert filled_in(f"<${{file:{file}}}>") == "<${HOME}>"


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o602])
def test_a_file_that_others_may_read_or_change_is_refused(file, mode):
    file.chmod(mode)
    with pytest.raises(ValueError, match=rf"is open to others \(mode {mode:04o}\); chmod 0640"):
        filled_in(f"${{file:{file}}}")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(file):
    os.chown(file, 12345, 0)
    with pytest.raises(ValueError, match="belongs to another user"):
        filled_in(f"${{file:{file}}}")


def test_a_secret_that_is_none_is_refused_with_its_path_and_without_itself(file, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for content, said in (
        (b"", "one line"),
        (b"two\nlines\n", "one line"),
        (b"\xff\xfe", "UTF-8"),
        (b"x" * (MOST_BYTES + 1), "more than"),
    ):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=said) as told:
            filled_in(f"${{file:{file}}}")
        assert str(file) in str(told.value)
        assert len(str(told.value)) < 400
    for path, said in ((fifo, "is not a file"), (tmp_path / "none", "No such file")):
        with pytest.raises(ValueError, match=said):
            filled_in(f"${{file:{path}}}")
    with pytest.raises(ValueError, match="a path from / is expected"):
        filled_in("${file:secret}")


def test_a_credential_outside_of_a_unit_says_what_to_do(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(ValueError, match="LoadCredential=word"):
        filled_in("${credential:word}")


@pytest.mark.parametrize("name", ["", "..", "../shadow", "a/b", ".hidden"])
def test_the_name_of_a_credential_is_no_path(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ValueError, match="no name of a credential"):
        filled_in(f"${{credential:{name}}}")


def test_the_message_of_wrong_settings_names_the_file_and_repeats_no_password(tmp_path):
    text = (ROOT / "config.yml").read_text()
    config = tmp_path / "config.yml"
    usual = "sqlite:///data/faces.db "
    assert usual in text
    config.write_text(text.replace(usual, "oracle://ada:hush@db.example/faces "))
    with pytest.raises(ConfigError, match=r"library\.database: what stands there") as told:
        load_config(config)
    assert "hush" not in str(told.value)
    config.write_text(text.replace(usual, "postgresql://ada:${file:/nowhere/word}@h/faces "))
    with pytest.raises(ConfigError, match=r"/nowhere/word cannot be read: No such file"):
        load_config(config)
