"""``python -m gateway apps``: which apps there are, and how one is deleted."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import click

from client.terminal.console import open_console
from client.terminal.table import FittingTable
from gateway.auth.key_store import KeyStore
from library.backup import backup
from library.errors import NotFoundError
from library.face_token_file import forget_in
from library.store.store import Store
from library.sync.open_storage import open_storage
from runtime import sqlite_files
from settings.config import Config, load_config
from settings.library import LibraryConfig
from terminal.options import config_everywhere, json_option

DONE, FAILED = 0, 1


class Desk:
    """What the commands work with. The keys' database is opened when it is asked."""

    def __init__(self, config: Config, library: LibraryConfig) -> None:
        self.library = library
        self.token_file = config.token_file()
        # No command may read or replace them as if they were files of the operator's.
        sqlite_files.note(self.token_file)

    @cached_property
    def keys(self) -> KeyStore:
        """The keys of the gateway."""
        return KeyStore(self.library)


OF_ALL, _OF_EACH = config_everywhere()


def with_desk(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command its desk, by `--config`, which it gets with this.

    Raises ConfigError and LibraryError.
    """

    @_OF_EACH
    @functools.wraps(command)
    def run(**options: Any) -> int:
        config = load_config(click.get_current_context().meta["config"])
        desk = Desk(config, config.library_config())
        try:
            status = command(desk, **options)
            sys.stdout.flush()
            return status
        except OSError as error:
            # The reader has gone (``| head``) or the disk is full; the interpreter would complain
            # again at its last flush.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            print(f"gateway: the output cannot be written: {error.strerror}", file=sys.stderr)
            return FAILED
        finally:
            desk.keys.close()

    return run


@click.group()
def apps() -> None:
    """The apps."""


@apps.command("list", short_help="Show all apps, when they were made, how large they are.")
@json_option
@with_desk
def show(desk: Desk, as_json: bool) -> int:
    """Show all apps in the order of their making, as a table or as JSON."""
    good = Counter(key.app for key in desk.keys.list() if key.revoked is None)
    with Store(desk.library) as store:
        found: list[dict[str, Any]] = []
        for one in store.app_records():
            try:
                numbers = store.statistics(one.app)
            except NotFoundError:  # deleted since
                continue
            found.append(
                {
                    "app": one.app,
                    "created": one.created,
                    "groups": len(numbers.groups),
                    "users": numbers.users,
                    "faces": numbers.faces,
                    "keys": good[one.app],
                }
            )
    if as_json:
        print(json.dumps(found, default=lambda time: time.isoformat(timespec="seconds")))
        return DONE
    table = FittingTable().words("app").names("made").figures("groups", "users", "faces", "keys")
    for app in found:
        figures = (str(app[name]) for name in ("groups", "users", "faces", "keys"))
        table.add_row(app["app"], shown_time(app["created"]), *figures)
    open_console(markup=False).print(table)
    return DONE


def shown_time(time: datetime | None) -> str:
    """A time in the commands' tables; empty for none."""
    return f"{time:%Y-%m-%d %H:%M} UTC" if time else ""


@apps.command(short_help="Delete an app with its people and its keys.")
@click.argument("app")
@with_desk
def delete(desk: Desk, app: str) -> int:
    """Delete an app with its people and its keys.

    Exit status 1 where it was not there or a backup has it still.
    """
    # The app's row goes last: what is cut off is done by the same command again.
    revoked = desk.keys.revoke_app(app)
    if not _forget_tokens(desk.token_file, app):
        return FAILED
    with Store(desk.library) as store:
        try:
            open_storage(desk.library).discard_of(store.clear_app(app), app)
            store.delete_app(app)
        except NotFoundError:
            # Keys may be made before an app's first group.
            if not revoked:
                raise
        print(f"app {app} is deleted, and {revoked} of its keys are revoked")
        holding, unreadable = backup.holding(
            store.backups(), lambda path: backup.holds_app(path, app)
        )
    for path in holding:
        print(f"still in the backup {path}: delete it, or write it anew")
    for path, reason in unreadable:
        print(f"perhaps still in the backup {path}, which cannot be read: {reason}")
    return FAILED if holding or unreadable else DONE


def _forget_tokens(path: Path, app: str) -> bool:
    """Whether no token is left in the file; a gateway drops them from memory in half a minute."""
    try:
        if path.exists() and not forget_in(path, app, None):
            print(f"the log of {path} may still have faces until the next deletion")
    except (sqlite3.Error, OSError) as error:
        print(f"gateway: {path} may still have faces: {error}; try again", file=sys.stderr)
        return False
    return True
