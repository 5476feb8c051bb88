"""Starting and ending the keepers of tenants, which go on when the command has ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.errors import DeployError
from deploy.tenants.admin_key import ensure_key
from deploy.tenants.processes.keeping import folder_of, log_of, prepare, variables
from deploy.tenants.processes.state import FAILED, READY, STARTING, WAITING, holder, read_state
from deploy.tenants.settings_file import secrets_of
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import ROOT, TenantFile
from runtime.process import child_environment

_POLL_S = 0.2
# A keeper waits 60 s for its service's clean end.
_END_S = 90.0
_KEEPER = "deploy.tenants.processes.keep"
_OUTPUT = "keeper.log"
_LOG_TAIL = 2000
# So often a service that has never served is started before `up` stops waiting for it.
_STARTS = 5

Say = Callable[[str], None]


def up(file: TenantFile, tenants: Sequence[Tenant], seconds: float, say: Say) -> bool:
    """Start what does not run, and wait until it serves; whether all do.

    All settings are checked before anything is started. Raises ConfigError, DeployError,
    LibraryError.
    """
    waiting = [one for one in tenants if holder(folder_of(file, one)) is None]
    for tenant in waiting:
        config = prepare(file, tenant)
        with variables(secrets_of(tenant)):
            if ensure_key(config, tenant.keys):
                say(f"{tenant.name}: a new admin's key is in {tenant.keys}")
    for tenant in tenants:
        if tenant in waiting:
            _start(file, tenant)
            say(f"{tenant.name}: starting")
        else:
            say(f"{tenant.name}: runs already")
    give_up = time.monotonic() + seconds
    results = [_until_ready(file, tenant, tenant in waiting, give_up, say) for tenant in tenants]
    return all(results)


def down(file: TenantFile, tenants: Sequence[Tenant], say: Say) -> None:
    """End what runs, all at once, and wait until it is gone. Raises DeployError."""
    ending = []
    for tenant in tenants:
        if _signal(folder_of(file, tenant), signal.SIGTERM):
            ending.append(tenant)
        else:
            say(f"{tenant.name}: does not run")
    give_up = time.monotonic() + _END_S
    for tenant in ending:
        while holder(folder_of(file, tenant)) is not None:
            if time.monotonic() > give_up:
                raise DeployError(f"{tenant.name}: has not ended within {_END_S:.0f} s")
            time.sleep(_POLL_S)
        say(f"{tenant.name}: ended")


def _start(file: TenantFile, tenant: Tenant) -> None:
    folder = folder_of(file, tenant)
    # What its keeper itself has to say, of this start; the service's output has a log of its own.
    with (folder / _OUTPUT).open("wb") as output:
        subprocess.Popen(
            [sys.executable, "-m", _KEEPER, str(file.path), tenant.name],
            cwd=ROOT,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # It is to go on without this command and its terminal.
            start_new_session=True,
        )
    give_up = time.monotonic() + 30.0
    while holder(folder) is None and not _said(folder) and time.monotonic() < give_up:
        time.sleep(_POLL_S / 4)


def _until_ready(
    file: TenantFile, tenant: Tenant, is_fresh: bool, give_up: float, say: Say
) -> bool:
    folder = folder_of(file, tenant)
    while True:
        state = read_state(folder)
        if holder(folder) is None or state.state == FAILED:
            say(f"{tenant.name}: not started: {_why(folder, tenant, state.reason)}")
            return False
        if state.state == READY:
            say(f"{tenant.name}: ready at http://127.0.0.1:{tenant.ports.gateway}")
            return True
        if is_fresh and state.restarts >= _STARTS:
            say(f"{tenant.name}: {state.reason}, {_STARTS} times; see {log_of(tenant)}")
            return False
        if state.state not in (STARTING, WAITING) or time.monotonic() > give_up:
            say(f"{tenant.name}: not ready in time ({state.state}); see {log_of(tenant)}")
            return False
        time.sleep(_POLL_S)


def _why(folder: Path, tenant: Tenant, reason: str) -> str:
    if said := _said(folder):
        return said
    with contextlib.suppress(OSError):
        lines = log_of(tenant).read_text(encoding="utf-8", errors="replace")[-_LOG_TAIL:]
        complaints = [line for line in lines.splitlines() if "web_service: " in line]
        if complaints:
            return complaints[-1].partition("web_service: ")[2]
    return reason or f"see {log_of(tenant)}"


def _said(folder: Path) -> str:
    try:
        return (folder / _OUTPUT).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _signal(folder: Path, number: int) -> bool:
    """Send a signal to the keeper of a folder; whether there is one."""
    keeper = holder(folder)
    while keeper == 0:  # which has just taken the lock
        time.sleep(_POLL_S / 4)
        keeper = holder(folder)
    if keeper is None:
        return False
    try:
        descriptor = os.pidfd_open(keeper)
    except ProcessLookupError:
        return False
    try:
        # The number could have gone to another process meanwhile: not while this one has the lock.
        if holder(folder) != keeper:
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
