"""A tenant's `config.yml`: the common settings with what the tenant has of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import TenantFile
from settings.config import ConfigError
from settings.yaml_file import YamlError, read_yaml

HEADER = "# Written by `python -m deploy tenants`; change the tenant file or config.yml instead.\n"
# Who passes requests on: a proxy of this machine, or one that comes through a container's network.
_LOOPBACK = ["127.0.0.1", "::1"]
_BRIDGES = ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"]


def settings_of(file: TenantFile, tenant: Tenant) -> dict[str, Any]:
    """The settings of a tenant on this machine, every path absolute. Raises ConfigError."""
    settings = _base(file)
    folder = file.config.parent
    settings.update(
        rpc_host="127.0.0.1",
        rpc_port=tenant.ports.pipeline_rpc,
        http_host="127.0.0.1",
        http_port=tenant.ports.pipeline_http,
        cores=tenant.threads,
        models_dir=str(folder / str(settings.get("models_dir", "models"))),
    )
    settings.setdefault("log", {})["dir"] = str(tenant.log)
    _set_gateway(settings.setdefault("gateway", {}), tenant)
    _set_library(file, settings.setdefault("library", {}), tenant)
    if tenant.quotas.queue_length is not None:
        settings.setdefault("limits", {})["queue_length"] = tenant.quotas.queue_length
    _set_stages(file, settings, tenant)
    return settings


def settings_in_container(
    file: TenantFile, tenant: Tenant, data: Path, log: Path, models: Path
) -> dict[str, Any]:
    """The same inside of a container with these folders: its gateway listens to the outside.

    The container's network has nothing else in it, and its port is published on this machine only.
    """
    own = {"data": data, "log": log, "backups": data / "backups"}
    inside = tenant.model_copy(update=own)
    settings = settings_of(file, inside)
    settings["models_dir"] = str(models)
    settings["gateway"].update(host="0.0.0.0", trusted_proxies=[*_LOOPBACK, *_BRIDGES])  # noqa: S104
    return settings


def text_of(settings: Mapping[str, Any]) -> str:
    """The file's text; the same for the same settings."""
    return HEADER + yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)


def secrets_of(tenant: Tenant) -> dict[str, str]:
    """The variables of its `secrets` file. Raises ConfigError; never with a value in its text."""
    if tenant.secrets is None:
        return {}
    where = f"tenants.{tenant.name}.secrets: {tenant.secrets}"
    try:
        if os.stat(tenant.secrets).st_mode & 0o077:
            raise ConfigError(f"{where}: others may read it; mend with: chmod 600 FILE")
        lines = tenant.secrets.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: cannot be read: {error}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigError(f"{where}: line {number}: NAME=VALUE is expected")
        found[name.strip()] = value.strip().strip('"')
    return found


def _base(file: TenantFile) -> dict[str, Any]:
    file.base()
    try:
        settings = read_yaml(file.config)
    except (OSError, YamlError) as error:
        raise ConfigError(f"{file.config}: cannot be read: {error}") from None
    return {key: dict(value) if isinstance(value, dict) else value
            for key, value in settings.items()}  # fmt: skip


def _set_gateway(gateway: dict[str, Any], tenant: Tenant) -> None:
    # A proxy makes everybody a program of this machine, and each tenant has keys of its own.
    gateway.update(host="127.0.0.1", port=tenant.ports.gateway, pipelines=[], access="on",
                   trusted_proxies=_LOOPBACK, trusted_networks=[],
                   token_file=str(tenant.data / "tokens.db"))  # fmt: skip
    for key in ("rate_limit", "requests", "upload_bytes"):
        value = getattr(tenant.quotas, key)
        if value is not None:
            gateway[key] = value


def _set_library(file: TenantFile, library: dict[str, Any], tenant: Tenant) -> None:
    library["database"] = tenant.database or f"sqlite:///{tenant.data / 'faces.db'}"
    index = dict(library.get("index") or {})
    if index.get("kind") == "milvus" and str(index.get("milvus_uri", "")).startswith("http"):
        raise ConfigError(
            f"{file.config}: library.index.kind: 'milvus' is not allowed beside "
            f"{index['milvus_uri']!r} for tenants: they would share its collections"
        )
    if index.get("milvus_uri"):
        index["milvus_uri"] = str(tenant.data / "milvus.db")
    if index.get("snapshot_dir", "data/snapshots"):
        index["snapshot_dir"] = str(tenant.data / "snapshots")
    if tenant.threads:
        index["threads"] = tenant.threads
    library["index"] = index
    library["backups"] = {**(library.get("backups") or {}), "dir": str(tenant.backups)}
    if tenant.quotas.faces_per_user is not None:
        limits = dict(library.get("limits") or {})
        library["limits"] = {**limits, "faces_per_user": tenant.quotas.faces_per_user}


def _set_stages(file: TenantFile, settings: dict[str, Any], tenant: Tenant) -> None:
    base = file.base()
    ops = {name: dict(op or {}) for name, op in settings["op"].items()}
    for stage, models in tenant.models.items():
        if stage not in ops or not base.op[stage].models:
            known = ", ".join(name for name, op in base.op.items() if op.models)
            raise ConfigError(
                f"{file.path}: tenants.{tenant.name}.models.{stage}: unknown stage; "
                f"with models are {known}"
            )
        for key in ("model", "models", "fallback", "weights"):
            ops[stage].pop(key, None)
        ops[stage]["models"] = list(models)
    for name, op in base.op.items():
        if op.models:
            ops[name]["devices"] = tenant.device
    settings["op"] = ops
