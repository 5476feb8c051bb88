"""``python -m deploy backup``, ``drill``, ``migrate`` and ``reload``."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

import click

from client.terminal.console import open_console
from client.terminal.table import FittingTable
from deploy.errors import DeployError
from deploy.life import backups, drill, migrations
from library.store.store import Store
from runtime import sqlite_files
from runtime.launch import ended_by_sigterm
from runtime.service_state import ServiceState, read_state, state_file
from settings.config import Config, load_config
from terminal.options import PATH, Count, Number, config_option, json_option

DONE, FAILED = 0, 1
_LOOK_S = 0.1


@click.command("backup")
@config_option
@json_option
def backup(config: Path, as_json: bool) -> int:
    """Write a backup to library.backups.dir; those over its limits go, the oldest first."""
    return back_up(config, as_json)


def back_up(config: Path, as_json: bool = False) -> int:
    """The same for the settings of a file; the exit status."""
    library = _loaded(config).library_config()
    with Store(library) as store:
        made, removed = backups.make(store, library)
    if as_json:
        gone = [str(one.path) for one in removed]
        document = {"backup": str(made.path), "bytes": made.size, "removed": gone}
        print(json.dumps(document))
        return DONE
    out = open_console(markup=False, soft_wrap=True)
    out.print(f"backup of {made.size / 1e6:.1f} MB written to {made.path}")
    for one in removed:
        out.print(f"removed {one.path}")
    return DONE


@click.command("drill")
@config_option
@click.option("--backup", "file", type=PATH, metavar="FILE", show_default="the newest",
              help="Which one.")  # fmt: skip
@click.option("--sample", type=Count(1, 100_000), default=drill.SAMPLE, help="Faces of each app.")
@json_option
def run_drill(config: Path, file: Path | None, sample: int, as_json: bool) -> int:
    """Restore a backup beside the live library, compare both, and leave nothing behind."""
    report = drilled(config, file, sample)
    _print_json(report) if as_json else show(report)
    return FAILED if report.problems else DONE


def drilled(config: Path, file: Path | None = None, sample: int = drill.SAMPLE) -> drill.Report:
    """What a drill with the settings of a file finds. file: the backup, or else the newest."""
    library = _loaded(config).library_config()
    path = backups.newest(library).path if file is None else file
    started = time.monotonic()
    with ended_by_sigterm():
        report = drill.run(library, path, sample)
    report.seconds = time.monotonic() - started
    return report


def _print_json(report: drill.Report) -> None:
    document = {
        "backup": str(report.backup),
        "passed": not report.problems,
        "seconds": round(report.seconds, 3),
        "rows": [asdict(row) for row in report.rows],
    }
    print(json.dumps(document))


def show(report: drill.Report) -> None:
    """Print a drill's table and verdict."""
    out = open_console(markup=False, soft_wrap=True)
    table = FittingTable(f"drill of {report.backup}").words("item")
    table.figures("backup", "restored", "live").words("result")
    for row in report.rows:
        result = row.problem or row.note or "same"
        table.add_row(
            row.item, row.backup, row.restored, row.live, result, style="red" if row.problem else ""
        )
    out.print(table)
    verdict = f"failed: {len(report.problems)} problems" if report.problems else "passed"
    out.print(f"{verdict}, in {report.seconds:.1f} s; nothing of it is left")


@click.command("migrate")
@config_option
@click.option("--show", is_flag=True, help="Only say where the database is.")
@click.option("--heads", is_flag=True, help="Only say where this release has it.")
@click.option("--to", metavar="LIBRARY,KEYS", show_default="where this release has it",
              help="The migrations of its two groups of tables.")  # fmt: skip
def migrate(config: Path, show: bool, heads: bool, to: str | None) -> int:
    """Bring the database's tables up to this release, or down for an earlier one.

    A service does the first by itself when it starts.
    """
    if heads:
        print(json.dumps(asdict(migrations.heads())))
        return DONE
    loaded = _loaded(config)
    wanted = migrations.heads() if to is None else migrations.parsed(to)
    if not show:
        migrations.move(loaded, wanted)
    print(json.dumps(asdict(migrations.state(loaded))))
    return DONE


@click.command("reload")
@config_option
@click.option("--timeout", type=Number(1, 86_400), default=900.0, metavar="S",
              help="For all processes together.")  # fmt: skip
def reload(config: Path, timeout: float) -> int:
    """Let a running service take over its changed settings, one process after the other.

    With two replicas or more its ports go on answering meanwhile.
    """
    loaded = load_config(config)
    file = state_file(loaded)
    before = read_state(file)
    if before is None or not _is_there(before):
        raise DeployError(f"no service runs with these settings: {file} names none")
    os.kill(before.pid, signal.SIGHUP)
    give_up = time.monotonic() + timeout
    while time.monotonic() < give_up:
        now = read_state(file)
        if now is None or not _is_there(before):
            raise DeployError("the service has ended meanwhile")
        if now.renewals > before.renewals and not now.renewing:
            if now.problem:
                raise DeployError(f"the service goes on as before: {now.problem}")
            open_console(markup=False).print("the service has taken over its settings")
            return DONE
        time.sleep(_LOOK_S)
    raise DeployError(f"the service has not done it within {timeout:g} s")


def _is_there(state: ServiceState) -> bool:
    """Whether the service runs.

    As ExecReload= of its unit, in a user namespace of its own, this process does not see the
    service in /proc; systemd has named it then, in $MAINPID.
    """
    if state.is_alive:
        return True
    if os.environ.get("MAINPID") != str(state.pid):
        return False
    try:
        os.kill(state.pid, 0)
    except OSError:
        return False
    return True


def _loaded(path: Path) -> Config:
    """The settings; no command may take the database for a file of the operator's."""
    config = load_config(path)
    database = config.library_config().database_file()
    for file in (config.token_file(), *([database] if database else [])):
        sqlite_files.note(file)
    return config
