"""What a tenant file is rendered to, as the programs that it is for take it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import jsonschema_rs
import pytest
import yaml

from deploy.tenants.render.all_files import rendered, write
from deploy.tenants.tenant_file import load_tenants
from settings.config import load_config
from tests.support.tenants import ROOT, entry, write_tenants

MIG = "MIG-5a2b1c3d-0000-4000-8000-00000000000a"
TRAEFIK_SCHEMA = "https://json.schemastore.org/traefik-v3-file-provider.json"


def needs(program):
    reason = f"{program} is not installed"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


@pytest.fixture
def file(tmp_path):
    secrets = tmp_path / "secrets.env"
    secrets.write_text("FACES_PASSWORD=hunter2\n")
    secrets.chmod(0o600)
    entries = [
        entry("attendance", cores="0"),
        entry("front-desk", (9201, 9202, 9203), device=MIG, cores="1-2", memory="4GiB"),
        entry("front", (9301, 9302, 9303), device="3", secrets="secrets.env",
              database="postgresql://f:${FACES_PASSWORD}@db/faces"),
    ]  # fmt: skip
    proxy = {"server_name": "faces.example.org", "port": 8443}
    return load_tenants(write_tenants(tmp_path, entries, proxy=proxy))


@pytest.fixture
def out(file, tmp_path):
    folder = tmp_path / "out"
    write(rendered(file, folder), folder)
    return folder


def test_the_same_file_renders_to_the_same_bytes_and_writes_nothing_twice(file, tmp_path):
    folder = tmp_path / "out"
    first = rendered(file, folder)
    assert list(first) == sorted(first)
    assert write(first, folder) == list(first)
    assert rendered(load_tenants(file.path), folder) == first
    assert write(first, folder) == []


def test_no_secret_is_in_any_file(out):
    texts = [path.read_text() for path in out.rglob("*") if path.is_file()]
    assert len(texts) > 15
    assert not any("hunter2" in text for text in texts)


def test_the_settings_are_such_as_the_service_takes(out, monkeypatch):
    monkeypatch.setenv("FACES_PASSWORD", "x")
    for name in ("attendance", "front-desk", "front"):
        assert load_config(out / "settings" / f"{name}.yml").gateway.needs_keys
        inside = load_config(out / "compose" / "settings" / f"{name}.yml")
        assert str(inside.log_dir()) == "/var/log/face-serving"
    # A container has the one GPU that it is given.
    assert inside.op["ArcFace"].devices == "0"


@needs("systemd-analyze")
def test_systemd_verifies_every_unit(out):
    units = sorted(str(path) for path in (out / "systemd").iterdir())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@needs("systemd-analyze")
def test_systemd_finds_the_services_exposure_low(out):
    for unit in (out / "systemd").glob("*.service"):
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(unit)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_a_tenants_service_is_watched_and_shut_in_as_the_one_service_is(out):
    one = ROOT / "deploy" / "systemd" / "face-serving-all.service"
    model = one.read_text().partition("[Service]")[2].splitlines()
    for unit in (out / "systemd").glob("*.service"):
        lines = unit.read_text().splitlines()
        for line in model:
            if re.match("(Type|NotifyAccess|Watchdog|Restart|Timeout|Restrict|System|UMask)", line):
                assert line in lines
        assert directives(unit)["Type"] == "notify"
        shut_in = "(NoNew|Capability|Ambient|Protect|Private|RemoveIPC|Lock)"
        missing = {line for line in model if re.match(shut_in, line)} - set(lines)
        # What of the program is below a home; and what NVIDIA's driver does not bear.
        on_gpu = {"PrivateDevices", "PrivateUsers"} if "front" in unit.name else set()
        assert {line.partition("=")[0] for line in missing} <= {"ProtectHome"} | on_gpu


def directives(path):
    lines = [line.partition("=") for line in path.read_text().splitlines() if "=" in line]
    return {key: value for key, _, value in lines}


def test_each_slice_has_its_tenants_limits_and_no_tenants_slice_is_within_anothers(out):
    desk = directives(out / "systemd" / "facetenants-front_desk.slice")
    assert (desk["AllowedCPUs"], desk["CPUQuota"]) == ("1-2", "200%")
    assert (desk["MemoryMax"], desk["MemorySwapMax"]) == (str(4 << 30), "0")
    # systemd takes what stands before a dash for the slice around it.
    names = [path.name for path in (out / "systemd").glob("facetenants-*.slice")]
    assert len(names) == 3
    assert all(name.count("-") == 1 for name in names)
    service = directives(out / "systemd" / "face-tenant-front-desk.service")
    assert service["Slice"] == "facetenants-front_desk.slice"
    assert service["PrivateDevices"] == service["PrivateUsers"] == "no"
    gpu = (ROOT / "deploy" / "systemd" / "gpu.conf").read_text()
    unit = (out / "systemd" / "face-tenant-front-desk.service").read_text()
    assert [one for one in gpu.splitlines() if "DeviceAllow" in one and one not in unit] == []
    service = directives(out / "systemd" / "face-tenant-front.service")
    assert service["EnvironmentFile"].endswith("secrets.env")
    plain = directives(out / "systemd" / "face-tenant-attendance.service")
    assert plain["PrivateDevices"] == "yes"


def test_each_container_has_limits_a_network_and_a_device_of_its_own(out):
    document = yaml.safe_load((out / "compose" / "compose.yml").read_text())
    desk = document["services"]["front-desk"]
    assert (desk["mem_limit"], desk["cpuset"], desk["cpus"]) == (4 << 30, "1-2", 2.0)
    assert desk["memswap_limit"] == desk["mem_limit"]
    assert desk["read_only"]
    assert desk["networks"] == ["front-desk"]
    assert desk["ports"] == ["127.0.0.1:9203:9203"]
    (gpu,) = desk["deploy"]["resources"]["reservations"]["devices"]
    assert gpu["device_ids"] == [MIG]
    assert set(document["networks"]) == {"attendance", "front-desk", "front"}
    assert document["services"]["front"]["env_file"]
    assert "deploy" not in document["services"]["attendance"]


def test_docker_compose_takes_the_file(out):
    if shutil.which("docker") is None:
        pytest.skip("docker is not installed")
    version = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if version.returncode:
        pytest.skip("docker has no compose plugin")
    done = subprocess.run(
        ["docker", "compose", "-f", str(out / "compose" / "compose.yml"), "config", "--quiet"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# Of Traefik's dynamic settings, what the rendered file uses.
TRAEFIK = {
    "type": "object", "additionalProperties": False, "required": ["http", "tls"],
    "properties": {
        "http": {
            "type": "object", "additionalProperties": False,
            "properties": {
                "routers": {"type": "object", "additionalProperties": {
                    "type": "object", "additionalProperties": False,
                    "required": ["rule", "service"],
                    "properties": {
                        "entryPoints": {"type": "array", "items": {"type": "string"}},
                        "rule": {"type": "string"}, "service": {"type": "string"},
                        "middlewares": {"type": "array", "items": {"type": "string"}},
                        "tls": {"type": "object"},
                    },
                }},
                "middlewares": {"type": "object", "additionalProperties": {
                    "type": "object", "additionalProperties": False,
                    "properties": {"stripPrefix": {
                        "type": "object", "additionalProperties": False,
                        "properties": {"prefixes": {"type": "array", "items": {"type": "string"}}},
                    }},
                }},
                "services": {"type": "object", "additionalProperties": {
                    "type": "object", "additionalProperties": False,
                    "properties": {"loadBalancer": {
                        "type": "object", "additionalProperties": False, "required": ["servers"],
                        "properties": {
                            "servers": {"type": "array", "minItems": 1},
                            "passHostHeader": {"type": "boolean"},
                            "healthCheck": {"type": "object"},
                        },
                    }},
                }},
            },
        },
        "tls": {"type": "object", "additionalProperties": False,
                "properties": {"certificates": {"type": "array"}}},
    },
}  # fmt: skip


def traefik(out):
    return yaml.safe_load((out / "traefik" / "face-tenants.yml").read_text())


def test_the_file_for_traefik_has_its_form_and_names_what_is_there(out):
    document = traefik(out)
    jsonschema_rs.validate(TRAEFIK, document)
    http = document["http"]
    for name, router in http["routers"].items():
        assert router["service"] in http["services"]
        assert set(router["middlewares"]) <= set(http["middlewares"])
        assert f"PathPrefix(`/{name}/`)" in router["rule"]
        assert f"!Path(`/{name}/metrics`)" in router["rule"]
    (server,) = http["services"]["front-desk"]["loadBalancer"]["servers"]
    assert server["url"] == "http://127.0.0.1:9203"


@pytest.mark.network
def test_the_file_for_traefik_follows_its_published_schema(out):
    try:
        answer = httpx.get(TRAEFIK_SCHEMA, follow_redirects=True, timeout=10)
        answer.raise_for_status()
        schema = json.loads(answer.text)
    except (httpx.HTTPError, ValueError) as error:
        pytest.skip(f"Traefik's schema cannot be fetched: {error}")
    jsonschema_rs.validate(schema, traefik(out))


@needs("promtool")
def test_prometheus_takes_the_configuration_and_every_file_of_targets(file, out):
    for tenant in file.tenants:
        tenant.keys.parent.mkdir(parents=True, exist_ok=True)
        tenant.keys.write_text("ak_x.y\n")
    with_files = {"scrape_configs": [{
        "job_name": "x", "file_sd_configs": [{"files": [str(out / "prometheus/targets/*.yml")]}],
    }]}  # fmt: skip
    other = out / "with_files.yml"
    other.write_text(yaml.safe_dump(with_files))
    for path in (out / "prometheus" / "prometheus.yml", other):
        done = subprocess.run(["promtool", "check", "config", str(path)], capture_output=True)
        assert done.returncode == 0, done.stderr


def test_each_tenant_has_its_label_and_its_key_where_prometheus_scrapes(file, out):
    document = yaml.safe_load((out / "prometheus" / "prometheus.yml").read_text())
    assert [job["static_configs"][0]["labels"]["tenant"] for job in document["scrape_configs"]] == [
        "attendance", "front-desk", "front"
    ]  # fmt: skip
    keys = [job["authorization"]["credentials_file"] for job in document["scrape_configs"]]
    assert keys == [str(tenant.keys) for tenant in file.tenants]


def test_the_proxys_logs_are_rotated_by_name(file, out):
    text = (out / "logrotate" / "face-tenants").read_text()
    assert all(f"{tenant.log}/access.log" in text for tenant in file.tenants)


def test_logrotate_takes_the_file(out):
    logrotate = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin")
    if logrotate is None:
        pytest.skip("logrotate is not installed")
    file: Path = out / "logrotate" / "face-tenants"
    file.chmod(0o644)
    done = subprocess.run(
        [logrotate, "--debug", "--state", str(out / "state"), str(file)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
