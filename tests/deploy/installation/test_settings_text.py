"""The first config.yml of an installation, made from the project's without reading YAML."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.installation.errors import InstallError
from deploy.installation.layout import Layout, Wish
from deploy.installation.settings_text import first_settings, with_value
from settings.config import load_config
from tests.support.service import ROOT

TEXT = (ROOT / "config.yml").read_text()
LAYOUT = Layout(Path("/"), "/opt/face-serving")


def loaded(tmp_path, role: str, **more: str):
    text = first_settings(TEXT, LAYOUT, Wish(role=role), more)
    assert text.count("#") == TEXT.count("#")
    file = tmp_path / "config.yml"
    file.write_text(text)
    return load_config(file)


def test_models_data_and_logs_are_where_an_installation_has_them(tmp_path):
    config = loaded(tmp_path, "all")
    assert config.model_dir("blazeface") == Path("/opt/face-serving/models/blazeface")
    assert config.library_config().database_file() == Path("/var/lib/face-serving/faces.db")
    assert config.library_config().snapshot_dir() == Path("/var/lib/face-serving/snapshots")
    assert config.library_config().backup_dir() == Path("/var/lib/face-serving/backups")
    assert config.token_file() == Path("/var/lib/face-serving/tokens.db")
    assert config.log_dir() == Path("/var/log/face-serving")
    assert (config.replicas, config.gateway.port) == (1, 8300)


def test_a_pipelines_machine_has_no_gateway(tmp_path):
    config = loaded(tmp_path, "pipeline", rpc_host="10.0.0.5")
    assert (config.gateway.port, config.rpc_host, config.replicas) == (0, "10.0.0.5", 1)


def test_a_gateways_machine_has_no_pipelines_and_asks_those_of_others(tmp_path, monkeypatch):
    secret = tmp_path / "password"
    secret.write_text("word\n")
    secret.chmod(0o600)
    more = {
        "gateway.pipelines": '["a.example:18091", "b.example:18091"]',
        "library.database": f'"postgresql://faces:${{file:{secret}}}@db.example/faces"',
    }
    config = loaded(tmp_path, "gateway", **more)
    assert (config.replicas, config.http_port) == (0, 0)
    assert config.gateway.pipelines == ("a.example:18091", "b.example:18091")
    assert config.library_config().url().password == "word"


def test_a_setting_that_is_not_there_is_an_error():
    with pytest.raises(InstallError, match=r"no setting library\.nowhere"):
        with_value(TEXT, "library.nowhere", "1")


def test_of_settings_with_one_name_the_right_one_changes():
    text = with_value(TEXT, "library.index.threads", "7")
    changed = [line for line in text.split("\n") if line not in TEXT.split("\n")]
    assert len(changed) == 1
    assert changed[0].strip().startswith("threads: 7")
    assert "of one search" in changed[0]
