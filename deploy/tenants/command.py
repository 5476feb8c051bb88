"""``python -m deploy tenants``: several services on one machine, by one file."""

from __future__ import annotations

import datetime
import functools
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from client.terminal.console import open_console
from client.terminal.table import FittingTable
from deploy.errors import DeployError
from deploy.life.commands import back_up, drilled, show
from deploy.tenants.admin_key import ensure_key
from deploy.tenants.first_file import first_file, memory_here
from deploy.tenants.processes import orders
from deploy.tenants.processes.keeping import (
    folder_of,
    log_of,
    prepare,
    settings_file_of,
    variables,
)
from deploy.tenants.processes.state import READY, State, holder, read_state
from deploy.tenants.render.all_files import rendered, write
from deploy.tenants.settings_file import secrets_of
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import TenantFile, load_tenants
from library.errors import LibraryError
from terminal.options import PATH, SETTINGS, Count, Number, json_option

DONE, FAILED = 0, 1
_FOLLOW_S = 0.3
# Those that work with a service's settings.
_PROGRAMS = ("library", "gateway", "deploy", "tracer")

_FILE = click.option(
    "--tenants", "path", type=PATH, default="tenants.yml", metavar="FILE", help="The tenant file."
)
_NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")


def _with_file(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the tenant file."""

    @_FILE
    @functools.wraps(command)
    def run(path: Path, **options: Any) -> int:
        return command(load_tenants(path), **options)

    return run


@click.group(context_settings=SETTINGS)
def tenants() -> None:
    """Several services on one machine, by one file: rendered for others, or run here."""


@tenants.command(context_settings=SETTINGS)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Folder for the files.")
@_with_file
def render(file: TenantFile, out: Path) -> int:
    """Write the settings, systemd units, compose file, proxies' routes, Prometheus' targets."""
    folder = out.resolve()
    files = rendered(file, folder)
    try:
        changed = write(files, folder)
    except OSError as error:
        raise DeployError(f"{error.filename}: cannot be written: {error.strerror}") from None
    for name in changed:
        print(folder / name)
    print(f"{len(files)} files, {len(changed)} of them new or changed", file=sys.stderr)
    return DONE


@tenants.command(context_settings=SETTINGS)
@_NAMES
@_with_file
def keys(file: TenantFile, names: tuple[str, ...]) -> int:
    """Make the admin's key of each tenant that has none, in the file that it names."""
    for tenant in _chosen(file, names):
        config = prepare(file, tenant)
        with variables(secrets_of(tenant)):
            made = ensure_key(config, tenant.keys)
        _say(f"{tenant.name}: {'a new key is' if made else 'the key is'} in {tenant.keys}")
    return DONE


@tenants.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--first-port", type=Count(1, 65_535), default=8400, help="Of three for each.")
@_FILE
def new(names: tuple[str, ...], first_port: int, path: Path) -> int:
    """Write a tenant file to start from: this machine's cores and memory, divided."""
    text = first_file(path, names, first_port, sorted(os.sched_getaffinity(0)), memory_here())
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise DeployError(f"{path}: is there already, and stays as it is") from None
    except OSError as error:
        raise DeployError(f"{path}: cannot be written: {error.strerror}") from None
    _say(f"{path}: {len(names)} tenants; look it through, it can be changed at any time")
    return DONE


_WAIT = click.option(
    "--wait", type=Number(0), default=300.0, help="Seconds to wait until they serve."
)


@tenants.command(context_settings=SETTINGS)
@_NAMES
@_WAIT
@_with_file
def up(file: TenantFile, names: tuple[str, ...], wait: float) -> int:
    """Start tenants, all or those named, as processes that go on after this command.

    What runs already is left alone. Exit status 1 where one does not come to serve.
    """
    return DONE if orders.up(file, _chosen(file, names), wait, _say) else FAILED


@tenants.command(context_settings=SETTINGS)
@_NAMES
@_with_file
def down(file: TenantFile, names: tuple[str, ...]) -> int:
    """End tenants, all or those named, after the requests under way."""
    orders.down(file, _chosen(file, names), _say)
    return DONE


@tenants.command(context_settings=SETTINGS)
@click.argument("name")
@_WAIT
@_with_file
def restart(file: TenantFile, name: str, wait: float) -> int:
    """End a tenant and start it with what the files say now."""
    chosen = _chosen(file, (name,))
    prepare(file, chosen[0])
    orders.down(file, chosen, _say)
    return DONE if orders.up(file, chosen, wait, _say) else FAILED


@tenants.command(context_settings=SETTINGS)
@_NAMES
@json_option
@_with_file
def status(file: TenantFile, names: tuple[str, ...], as_json: bool) -> int:
    """Show how tenants are. Exit status 1 unless all of them serve."""
    found = [(one, read_state(folder_of(file, one)), holder(folder_of(file, one)))
             for one in _chosen(file, names)]  # fmt: skip
    if as_json:
        print(json.dumps([_document(*one) for one in found]))
    else:
        table = FittingTable().names("tenant", "state").figures("pid", "memory", "cores")
        table.names("ports").figures("restarts").names("since").words("last reason")
        for tenant, state, _ in found:
            table.add_row(*_row(tenant, state))
        open_console(markup=False).print(table)
    return DONE if all(state.state == READY for _, state, _ in found) else FAILED


@tenants.command(context_settings=SETTINGS)
@click.argument("name")
@click.option("--lines", type=Count(0), default=100, help="Of the log's end.")
@click.option("--follow", is_flag=True, help="Go on with what is written, until Ctrl-C.")
@_with_file
def logs(file: TenantFile, name: str, lines: int, follow: bool) -> int:
    """Show what a tenant's service has printed; its other logs are beside that file."""
    path = log_of(file.tenant(name))
    try:
        with path.open(encoding="utf-8", errors="replace") as opened:
            sys.stdout.writelines(deque(opened, maxlen=lines))
            sys.stdout.flush()
            place = opened.tell()
    except OSError as error:
        raise DeployError(f"{path}: cannot be read: {error.strerror}") from None
    while follow:
        time.sleep(_FOLLOW_S)
        place = _go_on(path, place)
    return DONE


@tenants.command(
    "exec",
    context_settings={
        **SETTINGS, "ignore_unknown_options": True, "allow_interspersed_args": False
    },
    short_help="Run a command of the service for a tenant.",
)  # fmt: skip
@click.argument("name")
@click.argument("program", type=click.Choice(_PROGRAMS))
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[WORD]...")
@_with_file
def execute(file: TenantFile, name: str, program: str, words: tuple[str, ...]) -> int:
    """Run a command of the service with a tenant's settings and secrets: `exec NAME library stats`.

    The tenant may run meanwhile. Options of this command stand in front of NAME.
    """
    tenant = file.tenant(name)
    prepare(file, tenant)
    settings = str(settings_file_of(file, tenant))
    command = [sys.executable, "-m", program, *words, "--config", settings]
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, **secrets_of(tenant)})  # noqa: S606


@tenants.command(context_settings=SETTINGS)
@_NAMES
@_with_file
def backup(file: TenantFile, names: tuple[str, ...]) -> int:
    """Write a backup of each tenant to its folder; those over the limits go, the oldest first.

    Exit status 1 where one could not be made; the others are made all the same.
    """
    return _each(file, names, lambda _, settings: back_up(settings))


@tenants.command(context_settings=SETTINGS)
@_NAMES
@_with_file
def drill(file: TenantFile, names: tuple[str, ...]) -> int:
    """Restore each tenant's newest backup beside its library, compare, leave nothing behind.

    Exit status 1 where one fails.
    """

    def run(name: str, settings: Path) -> int:
        report = drilled(settings)
        _say(f"{name}:")
        show(report)
        return FAILED if report.problems else DONE

    return _each(file, names, run)


def _each(file: TenantFile, names: Sequence[str], run: Callable[[str, Path], int]) -> int:
    """Run something with each tenant's name, settings and secrets; FAILED where one fails."""
    status = DONE
    for tenant in _chosen(file, names):
        prepare(file, tenant)
        try:
            with variables(secrets_of(tenant)):
                status |= run(tenant.name, settings_file_of(file, tenant))
        except LibraryError as error:
            print(f"deploy: {tenant.name}: {error.code}: {error.message}", file=sys.stderr)
            status = FAILED
        except DeployError as error:
            print(f"deploy: {tenant.name}: {error}", file=sys.stderr)
            status = FAILED
    return status


def _go_on(path: Path, place: int) -> int:
    """Show what was written since; the place of the end. From the start of a file that is new."""
    try:
        with path.open("rb") as opened:
            if os.fstat(opened.fileno()).st_size < place:
                place = 0
            opened.seek(place)
            new = opened.read()
    except FileNotFoundError:
        return 0
    sys.stdout.write(new.decode("utf-8", "replace"))
    sys.stdout.flush()
    return place + len(new)


def _chosen(file: TenantFile, names: Sequence[str]) -> list[Tenant]:
    """The tenants of these names, all for none."""
    return [file.tenant(name) for name in dict.fromkeys(names)] or list(file.tenants)


def _row(tenant: Tenant, state: State) -> tuple[str, ...]:
    ports = tenant.ports
    since = datetime.datetime.fromtimestamp(state.since, datetime.UTC) if state.since else None
    return (
        tenant.name,
        state.state,
        str(state.pid or ""),
        f"{state.memory >> 20} of {tenant.memory_bytes >> 20} MiB" if state.pid else "",
        f"{state.cpu:.2f}" if state.pid else "",
        f"{ports.gateway} {ports.pipeline_http} {ports.pipeline_rpc}",
        str(state.restarts),
        f"{since:%Y-%m-%d %H:%M:%S} UTC" if since else "",
        state.reason,
    )


def _document(tenant: Tenant, state: State, keeper: int | None) -> dict[str, Any]:
    return {
        "tenant": tenant.name,
        **asdict(state),
        "keeper": keeper or None,
        "memory_limit": tenant.memory_bytes,
        "ports": tenant.ports.model_dump(),
    }


def _say(text: str) -> None:
    print(text, flush=True)
