"""From a tenant of the file to what its keeper has to do."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from deploy.errors import DeployError
from deploy.tenants.processes.cgroups import Limits
from deploy.tenants.processes.kept import Kept
from deploy.tenants.settings_file import secrets_of, settings_of, text_of
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import ROOT, TenantFile
from deploy.whole_file import write_file
from settings.config import Config, ConfigError, load_config

_PROGRAM = "web_service.py"
LOG = "service.log"


def folder_of(file: TenantFile, tenant: Tenant) -> Path:
    """Where a tenant's settings, lock and state are while it runs."""
    return file.run / tenant.name


def settings_file_of(file: TenantFile, tenant: Tenant) -> Path:
    """The settings that `prepare` writes."""
    return folder_of(file, tenant) / "config.yml"


def log_of(tenant: Tenant) -> Path:
    """The file of what its service prints; its other logs are beside it."""
    return tenant.log / LOG


def kept_of(file: TenantFile, tenant: Tenant) -> Kept:
    """A tenant that `prepare` has prepared. Raises ConfigError."""
    folder = folder_of(file, tenant)
    settings = settings_file_of(file, tenant)
    base = file.base()
    cores = tenant.core_numbers
    # Two files of tenants on one machine may have the same names.
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return Kept(
        folder=folder,
        command=(str(ROOT / _PROGRAM), "--config", str(settings)),
        log=log_of(tenant),
        limits=Limits(tenant.memory_bytes, tenant.cores, len(cores), tenant.quotas.processes),
        group=f"{tenant.name}-{digest}",
        cores=tuple(cores),
        log_bytes=base.log.max_bytes,
        log_files=base.log.backups,
        environment=secrets_of(tenant),
    )


def prepare(file: TenantFile, tenant: Tenant) -> Config:
    """Make a tenant's folders and write its settings, which are checked.

    Raises ConfigError, and DeployError for what cannot be written.
    """
    _check_cores(file, tenant)
    folder = folder_of(file, tenant)
    try:
        for one in (folder, tenant.data, tenant.log, tenant.keys.parent):
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = settings_file_of(file, tenant)
        write_file(settings, text_of(settings_of(file, tenant)), 0o600)
    except OSError as error:
        raise DeployError(f"{error.filename}: cannot be written: {error.strerror}") from None
    with variables(secrets_of(tenant)):
        config = load_config(settings)
        for stage in config.op:
            config.chosen_models(stage)
    return config


def _check_cores(file: TenantFile, tenant: Tenant) -> None:
    count = os.cpu_count() or 1
    if any(core >= count for core in tenant.core_numbers):
        raise ConfigError(
            f"{file.path}: tenants.{tenant.name}.cores: {tenant.cores!r} is not allowed: this "
            f"machine has {count}, from 0 on"
        )


@contextlib.contextmanager
def variables(secrets: dict[str, str]) -> Iterator[None]:
    """A tenant's secrets in this process's environment, within the block."""
    before = dict(os.environ)
    os.environ.update(secrets)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
