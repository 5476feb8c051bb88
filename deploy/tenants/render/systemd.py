"""systemd: a slice with the limits and a service for each tenant, and a target for all."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.tenants.render.paths import NOTE, Place, program
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import ROOT, TenantFile

TARGET = "face-tenants.target"
SLICE = "facetenants"
# What the unit of the one service says of how it is started, watched and shut in holds for each
# tenant's as well, but for what is the tenant's own or its slice's.
_MODEL = ROOT / "deploy" / "systemd" / "face-serving-all.service"
_GPU = ROOT / "deploy" / "systemd" / "gpu.conf"
_OWN = (
    "User", "Group", "WorkingDirectory", "Environment", "ExecStart", "ExecReload",
    "LoadCredential", "StateDirectory", "StateDirectoryMode", "LogsDirectory", "LogsDirectoryMode",
    "RuntimeDirectory", "RuntimeDirectoryMode", "MemoryHigh", "MemoryMax", "TasksMax", "OOMPolicy",
    "ProtectHome",
)  # fmt: skip


def files(file: TenantFile, place: Place) -> Iterator[tuple[str, str]]:
    """Relative path and text of each file."""
    yield f"systemd/{TARGET}", _target(file)
    yield f"systemd/{SLICE}.slice", f"# {NOTE}\n[Unit]\nDescription=All tenants\n"
    for tenant in file.tenants:
        yield f"systemd/{slice_of(tenant)}", _slice(tenant)
        yield f"systemd/{unit_of(tenant)}", _service(file, tenant, place)
    yield "tmpfiles.d/face-tenants.conf", _folders(file)


def unit_of(tenant: Tenant) -> str:
    """The name of a tenant's service."""
    return f"face-tenant-{tenant.name}.service"


def slice_of(tenant: Tenant) -> str:
    """The name of a tenant's slice, directly below that of all."""
    return f"{SLICE}-{tenant.unit_name}.slice"


def _target(file: TenantFile) -> str:
    wanted = "\n".join(f"Wants={unit_of(tenant)}" for tenant in file.tenants)
    return f"""\
# {NOTE}
[Unit]
Description=Face recognition for all tenants
{wanted}

[Install]
WantedBy=multi-user.target
"""


def _slice(tenant: Tenant) -> str:
    cores = ""
    if tenant.cores:
        count = len(tenant.core_numbers)
        cores = f"AllowedCPUs={tenant.cores}\nCPUQuota={100 * count}%\n"
    return f"""\
# {NOTE}
[Unit]
Description=What the tenant {tenant.name} may take

[Slice]
{cores}MemoryMax={tenant.memory_bytes}
MemorySwapMax=0
TasksMax={tenant.quotas.processes}
"""


def _service(file: TenantFile, tenant: Tenant, place: Place) -> str:
    settings = str(place.settings(tenant))
    command = " ".join([*program(), "--config", settings])
    reload = f"{sys.executable} -m deploy reload --config {settings}"
    secrets = f"EnvironmentFile={tenant.secrets}\n" if tenant.secrets else ""
    return f"""\
# {NOTE}
[Unit]
Description=Face recognition for the tenant {tenant.name}
After=network-online.target {"nvidia-persistenced.service " if tenant.device else ""}\
systemd-tmpfiles-setup.service
Wants=network-online.target
PartOf={TARGET}

[Service]
User={file.user}
Slice={slice_of(tenant)}
WorkingDirectory={ROOT}
Environment=PYTHONDONTWRITEBYTECODE=1
{secrets}ExecStart={command}
ExecReload={reload}
# Over its slice's memory all of it is killed, and started again.
OOMPolicy=kill
ReadWritePaths={tenant.data} {tenant.log}
ReadOnlyPaths={settings}
{_home()}{_as_the_one_service(tenant)}
[Install]
WantedBy={TARGET}
"""


def _as_the_one_service(tenant: Tenant) -> str:
    """What the one service's unit says, with what one on a GPU has in place of some of it."""
    gpu = _said(_GPU) if tenant.device else []
    instead = {key for key, _ in gpu}
    lines = [one for one in _said(_MODEL) if one[0] not in instead.union(_OWN)]
    return "".join(f"{key}={value}\n" for key, value in lines + gpu)


def _said(unit: Path) -> list[tuple[str, str]]:
    """Key and value of each line of the section Service."""
    section = unit.read_text(encoding="utf-8").partition("[Service]\n")[2].partition("\n[")[0]
    lines = [line for line in section.splitlines() if line and not line.startswith("#")]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def _home() -> str:
    """Hides homes, but for what of the program is below one."""
    places = {str(ROOT), sys.prefix, sys.base_prefix}
    needed = sorted(one for one in places if one.startswith(("/home/", "/root/", "/run/user/")))
    if not needed:
        return "ProtectHome=yes\n"
    return f"ProtectHome=tmpfs\nBindReadOnlyPaths={' '.join(needed)}\n"


def _folders(file: TenantFile) -> str:
    lines = [f"# {NOTE}"]
    for tenant in file.tenants:
        for folder in (tenant.data, tenant.log):
            lines.append(f"d {folder} 0700 {file.user} {file.user} -")
    return "\n".join(lines) + "\n"
