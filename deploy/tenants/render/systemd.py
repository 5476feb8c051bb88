"""systemd: a slice with the limits and a service for each tenant, and a target for all."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from deploy.tenants.render.paths import NOTE, Place, program
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import ROOT, TenantFile

TARGET = "face-tenants.target"
SLICE = "facetenants"
# A clean end takes as long as a request may, and a little; see runtime/supervisor.py.
_STOP_S = 60
_FILES = 65_536
# Beside what stands at the service: nothing of the machine may be seen or changed. Not
# MemoryDenyWriteExecute: oneDNN makes its kernels at run time.
_SANDBOX = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectProc=invisible
ProcSubset=all
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateTmp=yes
PrivateUsers=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
UMask=0077
"""


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
    command = " ".join([*program(), "--config", str(place.settings(tenant))])
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
Type=exec
User={file.user}
Slice={slice_of(tenant)}
WorkingDirectory={ROOT}
Environment=PYTHONDONTWRITEBYTECODE=1
{secrets}ExecStart={command}
Restart=always
RestartSec=1
# Over its slice's memory all of it is killed, and started again.
OOMPolicy=kill
TimeoutStopSec={_STOP_S}
KillMode=mixed
LimitNOFILE={_FILES}
LimitCORE=0
ReadWritePaths={tenant.data} {tenant.log}
ReadOnlyPaths={place.settings(tenant)}
{_devices(tenant)}{_home()}{_SANDBOX}
[Install]
WantedBy={TARGET}
"""


def _devices(tenant: Tenant) -> str:
    """A GPU's driver has devices of several kinds, which its version names."""
    if not tenant.device:
        return "PrivateDevices=yes\nDevicePolicy=closed\n"
    return "DevicePolicy=closed\nDeviceAllow=char-nvidia* rw\n"


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
