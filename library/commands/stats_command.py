"""``python -m library stats``: what the library holds."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from client.terminal.table import FittingTable
from library.commands import options
from library.commands.session import DONE, Session
from library.records import GroupStatistics, Statistics
from library.store.store import Store
from library.sync.open_storage import open_storage
from terminal.options import json_option


@click.command("stats", short_help="What the library holds.")
@options.ANY_APP
@json_option
@options.with_session
def run(session: Session, app: str | None, as_json: bool) -> int:
    """What the library holds: the apps, their groups, and where everything lies."""
    with session.store() as store:
        names = [app] if app else store.apps()
        apps = [store.statistics(name) for name in names]
        places = _places(session, store)
    if as_json:
        print(json.dumps({"apps": [_plain(one) for one in apps], **places}))
        return DONE
    _show_apps(apps, session.out)
    url = session.library.url().render_as_string(hide_password=True)
    session.out.print(f"database {url}{_size_of(session.library.database_file())}")
    for snapshot in places["snapshots"]:
        age = f"{snapshot['age_s']:.0f} s old"
        session.out.print(f"snapshot of app {snapshot['app']}: {snapshot['path']}, {age}")
    for backup in places["backups"]:
        there = "" if backup["there"] else ", not there any more"
        session.out.print(f"backup of {backup['created']}: {backup['path']}{there}")
    return DONE


def _plain(app: Statistics) -> dict[str, Any]:
    return {
        "app": app.app,
        "recogniser": app.model,
        "dim": app.dim,
        "faces": app.faces,
        "entries": app.entries,
        "groups": [_group(group) for group in app.groups],
    }


def _group(group: GroupStatistics) -> dict[str, Any]:
    times = {name: getattr(group, name).isoformat() for name in ("created", "updated")}
    return {"group": group.group, "users": group.users, "faces": group.faces, **times}


def _places(session: Session, store: Store) -> dict[str, list[dict[str, Any]]]:
    storage = open_storage(session.library)
    snapshots = []
    for name, state in store.versions().items():
        path = storage.path(state.id)
        if path is not None and path.exists():
            age = max(0.0, time.time() - path.stat().st_mtime)
            snapshots.append({"app": name, "path": str(path), "age_s": round(age, 1)})
    backups = [
        {
            "path": str(one.path),
            "created": one.created.isoformat(timespec="seconds"),
            "there": one.path.exists(),
        }
        for one in store.backups()
    ]
    return {"snapshots": snapshots, "backups": backups}


def _show_apps(apps: list[Statistics], out: Console) -> None:
    if not apps:
        out.print("no app yet: a group makes one, for instance that of an import")
        return
    table = FittingTable(keys=2).words("app", "group").figures("users", "faces")
    table.words("recogniser")
    for app in apps:
        recogniser = f"{app.model}, {app.dim}" if app.model else ""
        table.add_row(app.app, "", str(app.users), str(app.faces), recogniser)
        for group in app.groups:
            table.add_row("", group.group, str(group.users), str(group.faces), "")
    out.print(table)


def _size_of(file: Path | None) -> str:
    return f", {file.stat().st_size / 1e6:.1f} MB" if file is not None and file.exists() else ""
