"""``python -m gateway``: what an operator does with the gateway's keys and apps."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from client.terminal.command import INTERRUPTED, run_command
from client.terminal.console import open_console
from client.terminal.table import FittingTable
from gateway import app_commands
from gateway.app_commands import Desk, shown_time, with_desk
from gateway.auth.key_store import MAX_RATE
from gateway.auth.keys import ADMIN, ROLES, Key
from library.errors import InvalidError, LibraryError
from settings.config import ConfigError
from terminal.options import SETTINGS, Number, json_option, run_program

DONE, FAILED, WRONG_USAGE = 0, 1, 2

_EPILOG = """\
A client gets an id and a secret. The secret is shown once: the database keeps its SHA-256 only,
so a lost secret means a new key. Services that run notice new keys at once and revoked ones
within a second. Keys are in the library's database, but in none of its backups: `restore` leaves
those that are there, and a database that was made anew needs new ones.

Exit status: 0 done, 1 not or not all, 2 wrong usage, 130 stopped by Ctrl-C.
"""


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit status.

    0: done, 1: not, or not all of it, 2: wrong usage or settings, 130: Ctrl-C.
    """
    try:
        return run_program(program, argv, "python -m gateway")
    except ConfigError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return WRONG_USAGE
    except InvalidError as error:
        said = error.message if error.code == "invalid_id" else error.detail
        print(f"gateway: {said}", file=sys.stderr)
        return WRONG_USAGE
    except LibraryError as error:
        print(f"gateway: {error.code}: {error.message}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("gateway: interrupted", file=sys.stderr)
        return INTERRUPTED


@click.group(context_settings=SETTINGS, epilog=_EPILOG)
@app_commands.OF_ALL
def program() -> None:
    """The keys that applications call the gateway with, and their apps."""


@program.group(epilog=_EPILOG)
def keys() -> None:
    """The keys."""


program.add_command(app_commands.apps)


@keys.command(short_help="Make a key and show its secret, this once.")
@click.option("--app", help=f"The app that the key is for; every role but {ADMIN} needs one.")
@click.option("--role", type=click.Choice(ROLES), required=True,
              help="read: detect, compare, search, list; write: also enrol and delete; "
              "admin: also act in every app.")  # fmt: skip
@click.option("--rate", type=Number(0, MAX_RATE), show_default="gateway.rate_limit",
              help="Requests a second, 0 for any number.")  # fmt: skip
@click.option("--comment", default="", metavar="TEXT", show_default=False,
              help="For whom it is, for your own list.")  # fmt: skip
@json_option
@with_desk
def create(
    desk: Desk, app: str | None, role: str, rate: float | None, comment: str, as_json: bool
) -> int:
    """Make a key and show it, this once with its secret."""
    store = desk.keys
    key, secret = store.create(app, role, comment, rate)
    try:
        if as_json:
            print(json.dumps({**_document(key), "secret": secret}), flush=True)
            return DONE
        print(f"client id      {key.id}")
        print(f"client secret  {secret}")
        print(f"X-Api-Key      {key.id}.{secret}", flush=True)
    except OSError:
        # Nobody has seen the secret.
        store.revoke(key.id)
        raise
    print("gateway: the secret is shown this once; keep it where secrets are kept", file=sys.stderr)
    return DONE


@keys.command("list", short_help="Show all keys, without their secrets.")
@json_option
@with_desk
def show(desk: Desk, as_json: bool) -> int:
    """Show all keys, without their secrets, as a table or as JSON."""
    found = desk.keys.list()
    if as_json:
        print(json.dumps([_document(key) for key in found]))
    else:
        _show(found)
    return DONE


def _show(found: Sequence[Key]) -> None:
    # No markup: comments may hold brackets.
    out = open_console(markup=False)
    table = FittingTable().names("id").words("app").names("role").figures("rate")
    table.names("created", "last used", "revoked").words("comment")
    for key in found:
        rate = "" if key.rate is None else f"{key.rate:g}/s" if key.rate else "any"
        times = map(shown_time, (key.created, key.used, key.revoked))
        table.add_row(key.id, key.app or "(any)", key.role, rate, *times, key.comment)
    out.print(table)


@keys.command(short_help="Take keys back for ever.")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@with_desk
def revoke(desk: Desk, ids: tuple[str, ...]) -> int:
    """Take keys back for ever, by their ids: ak_...; exit status 1 where one is unknown."""
    status = DONE
    for id_ in ids:
        if desk.keys.revoke(id_) is None:
            print(f"gateway: there is no key {id_!r}", file=sys.stderr)
            status = FAILED
        else:
            print(f"key {id_} is revoked, and with it its access tokens")
    return status


def _document(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "app": key.app,
        "role": key.role,
        "rate": key.rate,
        "comment": key.comment,
        "created": key.created.isoformat(),
        "used": key.used.isoformat() if key.used else None,
        "revoked": key.revoked.isoformat() if key.revoked else None,
    }


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
