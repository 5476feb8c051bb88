"""deploy/compose.yml as docker-compose itself reads it, and what every service in it keeps to."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess

import pytest
import yaml

from deploy.containers.image_settings import COMPOSE, IMAGE, changed
from settings.config import load_config
from tests.support.container_settings import FILES, text
from tests.support.deployment import tools
from tests.support.service import ROOT

DEPLOY = ROOT / "deploy"
SERVICES = ("face", "postgres", "milvus", "prometheus", "grafana", "nginx")
PASSWORD = "${file:/run/secrets/database_password}"
READ_ONLY = ("face", "prometheus", "grafana", "nginx")


@pytest.fixture(scope="module")
def written():
    """The file as it is written, with YAML's own merging."""
    return yaml.safe_load((DEPLOY / "compose.yml").read_text())


@pytest.fixture(scope="module")
def resolved():
    """The file with all profiles, as docker-compose resolves it."""
    return json.loads(compose("--profile", "*", "config", "--format", "json"))


def compose(*arguments, files=("compose.yml",)):
    named = [word for file in files for word in ("-f", str(DEPLOY / file))]
    return tools.output([tools.compose(), *named, *arguments])


def test_docker_compose_accepts_the_file_with_every_profile(resolved):
    assert tuple(resolved["services"]) == tuple(sorted(SERVICES))


def test_without_a_profile_neither_milvus_nor_nginx_is_started():
    services = compose("config", "--services").split()
    assert services != []
    assert set(services) == {
        "face",
        "postgres",
        "prometheus",
        "grafana",
    }


def test_on_a_gpu_the_service_has_that_one_or_a_part_of_one(monkeypatch):
    monkeypatch.setenv("FACE_GPU", "MIG-c7384736-a75d-5afc-978f-d2f1294409fd")
    document = json.loads(
        compose("config", "--format", "json", files=("compose.yml", "compose.gpu.yml"))
    )
    face = document["services"]["face"]
    (device,) = face["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == ["MIG-c7384736-a75d-5afc-978f-d2f1294409fd"]
    assert (face["image"], face["build"]["target"]) == ("face-serving:gpu", "gpu")
    assert face["mem_limit"] == str(3 << 30)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_limits_a_health_check_and_logs_that_are_rotated(written, name):
    service = written["services"][name]
    assert service["mem_limit"] == service["memswap_limit"]
    assert 0 < service["pids_limit"] <= 1024
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", READ_ONLY)
def test_what_needs_no_system_of_its_own_to_write_to_has_none(written, name):
    assert written["services"][name]["read_only"] is True
    assert written["services"][name]["cap_drop"] == ["ALL"]


def test_no_image_names_a_registry_and_each_can_be_another_one(written):
    for service in written["services"].values():
        variable, _, default = service["image"].removeprefix("${").removesuffix("}").partition(":-")
        assert variable.endswith("_IMAGE")
        # A registry has a dot or a port before the first slash.
        assert "." not in default.split("/")[0].split(":")[0]


def test_everything_that_is_kept_is_in_a_named_volume(written):
    mounts = [
        mount.split(":")[0]
        for service in written["services"].values()
        for mount in service.get("volumes", ())
    ]
    kept = {mount for mount in mounts if not mount.startswith(".")}
    assert kept == set(written["volumes"])
    read_only = [
        mount
        for service in written["services"].values()
        for mount in service["volumes"]
        if mount.startswith(".")
    ]
    assert all(mount.endswith(":ro") for mount in read_only)


def test_what_is_mounted_is_there(written):
    sources = [
        mount.split(":")[0]
        for service in written["services"].values()
        for mount in service["volumes"]
        if mount.startswith("./")
    ]
    if not (DEPLOY / "monitoring").is_dir():
        pytest.skip("this release has no rules and dashboards")
    assert [name for name in sources if not (DEPLOY / name).exists()] == []


def test_no_secret_stands_in_the_environment(written):
    for service in written["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name or "KEY" in name:
                assert value.startswith("/run/secrets/")


def test_what_depends_on_another_service_waits_until_it_is_healthy(written):
    waits = {
        (name, other): rule["condition"]
        for name, service in written["services"].items()
        for other, rule in service.get("depends_on", {}).items()
    }
    assert set(waits.values()) == {"service_healthy"}
    assert ("face", "postgres") in waits
    assert ("nginx", "face") in waits


def test_only_nginx_listens_for_other_machines(written):
    for name, service in written["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:") or name == "nginx"


def test_the_settings_of_compose_and_of_the_chart_follow_config_yml():
    for file in FILES:
        assert file.read_text() == text(file), "run python -m tests.support.container_settings"


def test_the_services_settings_name_their_proxy_and_their_places(written, tmp_path):
    # Its secret is there in the container alone.
    settings = (DEPLOY / "compose" / "config.yml").read_text()
    (tmp_path / "compose.yml").write_text(settings.replace(PASSWORD, "secret"))
    config = load_config(tmp_path / "compose.yml")
    assert PASSWORD in settings
    nginx = written["services"]["nginx"]["networks"]["inside"]["ipv4_address"]
    assert config.gateway.trusted_proxies == (nginx,)
    assert config.gateway.needs_keys
    mounts = [mount.split(":")[1] for mount in written["services"]["face"]["volumes"]]
    kept = [config.token_file(), config.log_dir(), config.library.index.snapshot_dir]
    assert all(str(path).startswith(tuple(mounts)) for path in kept)
    file = tmp_path / "config.yml"
    file.write_text(changed(ROOT / "config.yml", IMAGE))
    own = load_config(file).library_config().database_file()
    assert own is not None
    assert str(own).startswith(tuple(mounts))


def test_a_setting_that_is_not_there_cannot_be_changed():
    with pytest.raises(KeyError, match=r"gateway\.prot"):
        changed(ROOT / "config.yml", {**COMPOSE, "gateway.prot": 1})


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which takes root")
@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")
def test_secrets_are_made_once_each_for_the_user_of_its_container_alone(tmp_path):
    command = [DEPLOY / "compose" / "secrets", tmp_path / "secrets"]
    first = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    files = {file.name: file for file in (tmp_path / "secrets").iterdir()}
    users = {name: file.stat().st_uid for name, file in files.items()}
    assert users == {
        "database_password": 10001,
        "grafana_password": 472,
        "metrics_key": 65534,
        "tls_certificate": 0,
        "tls_key": 0,
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o400}
    contents = {name: file.read_bytes() for name, file in files.items()}
    assert len(set(contents.values())) == len(contents)
    assert all(len(contents[name]) == 48 for name in ("database_password", "grafana_password"))
    assert not any(value.decode().strip() in first for value in contents.values())
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert again == ""
    assert {name: file.read_bytes() for name, file in files.items()} == contents
