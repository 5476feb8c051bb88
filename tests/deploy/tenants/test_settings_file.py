"""A tenant's settings, made of the common ones and of what it has for itself."""

from __future__ import annotations

import pytest
import yaml

from deploy.tenants.settings_file import secrets_of, settings_in_container, settings_of, text_of
from deploy.tenants.tenant_file import load_tenants
from settings.config import ConfigError, load_config
from tests.support.tenants import ROOT, entry, write_tenants

MIG = "MIG-5a2b1c3d-0000-4000-8000-00000000000a"


@pytest.fixture
def loaded(tmp_path):
    """The settings of one tenant as the service reads them."""

    def load(**more):
        top = more.pop("top", {})
        file = load_tenants(write_tenants(tmp_path, [entry("attendance", **more)], **top))
        path = tmp_path / "config.yml"
        path.write_text(text_of(settings_of(file, file.tenants[0])))
        return load_config(path)

    return load


def test_a_tenant_has_ports_folders_and_a_database_of_its_own_and_asks_for_keys(loaded, tmp_path):
    config = loaded()
    own = tmp_path / "tenants" / "attendance"
    assert (config.http_port, config.rpc_port, config.gateway.port) == (9101, 9102, 9103)
    assert config.library_config().database_file() == own / "data" / "faces.db"
    assert config.library_config().snapshot_dir() == own / "data" / "snapshots"
    assert config.token_file() == own / "data" / "tokens.db"
    assert config.library_config().backup_dir() == own / "data" / "backups"
    assert config.log_dir() == own / "log"
    assert config.gateway.needs_keys
    assert config.gateway.is_local
    assert config.model_dir("blazeface") == ROOT / "models" / "blazeface"


def test_backups_of_two_tenants_are_never_in_one_folder(loaded, tmp_path):
    assert loaded(data="here").library_config().backup_dir() == tmp_path / "here" / "backups"
    safe = loaded(backups="/safe/attendance").library_config()
    assert str(safe.backup_dir()) == "/safe/attendance"
    # The common settings' folder is nobody's.
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["models_dir"] = str(ROOT / "models")
    settings["library"]["backups"] = {"dir": "/safe", "keep": 3}
    base = tmp_path / "base.yml"
    base.write_text(yaml.safe_dump(settings))
    library = loaded(top={"config": str(base)}).library_config()
    assert library.backup_dir() == tmp_path / "tenants" / "attendance" / "data" / "backups"
    assert library.backups.keep == 3


def test_models_threads_device_and_quotas_are_the_tenants(loaded):
    quotas = {
        "rate_limit": 20, "requests": 32, "queue_length": 8, "upload_bytes": 4096,
        "faces_per_user": 3,
    }  # fmt: skip
    config = loaded(
        device=MIG, threads=2, quotas=quotas,
        models={"ArcFace": "face_resnet_128", "Liveness": ["antispoof"]},
    )  # fmt: skip
    assert config.cores == config.library.index.threads == 2
    assert config.op["ArcFace"].models == ("face_resnet_128",)
    assert config.op["Liveness"].models == ("antispoof",)
    assert {op.devices for op in config.op.values() if op.models} == {MIG}
    assert config.visible_devices() == MIG
    gateway = config.gateway
    assert (gateway.rate_limit, gateway.requests, gateway.upload_bytes) == (20, 32, 4096)
    assert config.limits.queue_length == 8
    assert config.library.limits.faces_per_user == 3


def test_a_stage_that_is_not_there_is_named(loaded):
    with pytest.raises(ConfigError, match=r"tenants.attendance.models.Nose: unknown stage"):
        loaded(models={"Nose": "big"})


def test_tenants_do_not_share_a_milvus_servers_collections(loaded, tmp_path):
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["library"]["index"].update(kind="milvus", milvus_uri="http://milvus:19530")
    (tmp_path / "base.yml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match=r"library.index.kind: 'milvus' is not allowed"):
        loaded(top={"config": "base.yml"})
    settings["library"]["index"]["milvus_uri"] = "data/milvus.db"
    (tmp_path / "base.yml").write_text(yaml.safe_dump(settings))
    uri = loaded(top={"config": "base.yml"}).library.index.milvus_uri
    assert uri == str(tmp_path / "tenants" / "attendance" / "data" / "milvus.db")


def test_in_a_container_the_gateway_alone_listens_to_the_outside(tmp_path):
    file = load_tenants(write_tenants(tmp_path, [entry("attendance")]))
    settings = settings_in_container(
        file, file.tenants[0], tmp_path / "d", tmp_path / "l", tmp_path / "m"
    )
    assert settings["gateway"]["host"] == "0.0.0.0"
    assert settings["rpc_host"] == settings["http_host"] == "127.0.0.1"
    assert settings["library"]["database"] == f"sqlite:///{tmp_path / 'd' / 'faces.db'}"
    assert settings["models_dir"] == str(tmp_path / "m")


def test_secrets_come_from_a_file_that_its_owner_alone_may_read(tmp_path):
    secrets = tmp_path / "secrets.env"
    secrets.write_text("# of the database\nFACES_PASSWORD=hunter2=x\n")
    file = load_tenants(write_tenants(tmp_path, [entry("attendance", secrets="secrets.env")]))
    secrets.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        secrets_of(file.tenants[0])
    secrets.chmod(0o600)
    assert secrets_of(file.tenants[0]) == {"FACES_PASSWORD": "hunter2=x"}
    secrets.write_text("hunter2\n")
    with pytest.raises(ConfigError, match="line 1: NAME=VALUE") as caught:
        secrets_of(file.tenants[0])
    assert "hunter2" not in str(caught.value)
