"""A compose file: a service with its limits and a network of its own for each tenant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from deploy.containers import places
from deploy.tenants.render.paths import NOTE, Place
from deploy.tenants.settings_file import settings_in_container, text_of
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import TenantFile

_PYTHON = str(places.PROGRAM / ".venv/bin/python")
_STOP = "60s"
_LOG_SIZE, _LOG_FILES = "10m", "5"


def files(file: TenantFile, place: Place) -> Iterator[tuple[str, str]]:
    """Relative path and text of each file."""
    services: dict[str, Any] = {}
    for tenant in file.tenants:
        services[tenant.name] = _service(file, tenant, place)
        inside = tenant
        if tenant.device.isdigit():
            # The container is given one GPU, which is the first one there.
            inside = tenant.model_copy(update={"device": "0"})
        settings = settings_in_container(file, inside, places.DATA, places.LOGS, places.MODELS)
        yield f"compose/settings/{tenant.name}.yml", text_of(settings)
    document = {
        "name": "face-tenants",
        "services": services,
        "networks": {tenant.name: {"driver": "bridge"} for tenant in file.tenants},
    }
    yield "compose/compose.yml", f"# {NOTE}\n{yaml.safe_dump(document, sort_keys=False)}"


def _service(file: TenantFile, tenant: Tenant, place: Place) -> dict[str, Any]:
    port = tenant.ports.gateway
    settings = place.folder / "compose" / "settings" / f"{tenant.name}.yml"
    service: dict[str, Any] = {
        "image": file.image,
        "entrypoint": [_PYTHON, str(places.PROGRAM / "web_service.py")],
        "command": ["--config", str(places.SETTINGS)],
        "restart": "unless-stopped",
        "stop_grace_period": _STOP,
        "init": True,
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108 - the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": tenant.memory_bytes,
        "memswap_limit": tenant.memory_bytes,
        "pids_limit": tenant.quotas.processes,
        "ulimits": {"nofile": {"soft": 65536, "hard": 65536}, "core": 0},
        "networks": [tenant.name],
        "ports": [f"127.0.0.1:{port}:{port}"],
        "volumes": [
            _bind(settings, places.SETTINGS, read_only=True),
            _bind(tenant.data, places.DATA),
            _bind(tenant.log, places.LOGS),
            *_backups(tenant),
        ],
        "labels": {"tenant": tenant.name},
        "logging": {
            "driver": "json-file",
            "options": {"max-size": _LOG_SIZE, "max-file": _LOG_FILES},
        },
        "healthcheck": {
            # As the image has it, which a file for several engines says again.
            "test": ["CMD", _PYTHON, "-m", "deploy.containers.health"],
            "interval": "10s", "timeout": "8s", "retries": 3, "start_period": "60s",
        },
    }  # fmt: skip
    if tenant.cores:
        service["cpuset"] = tenant.cores
        service["cpus"] = float(len(tenant.core_numbers))
    if tenant.secrets:
        service["env_file"] = [str(tenant.secrets)]
    if tenant.device:
        gpu = {"driver": "nvidia", "device_ids": [tenant.device], "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [gpu]}}}
    return service


def _backups(tenant: Tenant) -> list[dict[str, Any]]:
    """Their folder, where it is not the one that is within the data anyway."""
    if tenant.backups == tenant.data / "backups":
        return []
    return [_bind(tenant.backups, places.DATA / "backups")]


def _bind(source: Path, target: Path, read_only: bool = False) -> dict[str, Any]:
    return {"type": "bind", "source": str(source), "target": str(target), "read_only": read_only}
