"""``python -m gateway``: what an operator does with the gateway's keys and apps."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client.cli.arguments import number
from gateway import app_commands
from gateway.app_commands import Desk, shown_time
from gateway.auth.key_store import MAX_RATE
from gateway.auth.keys import ADMIN, ROLES, Key
from library.errors import InvalidError, LibraryError
from settings.config import ConfigError, load_config
from terminal.command import run_command
from terminal.console import open_console
from terminal.table import FittingTable

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130

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
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        config = load_config(arguments.config)
        desk = Desk(config, config.library_config())
    except ConfigError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return WRONG_USAGE
    try:
        status = int(arguments.run(desk, arguments))
        sys.stdout.flush()
        return status
    except InvalidError as error:
        said = error.message if error.code == "invalid_id" else error.detail
        print(f"gateway: {said}", file=sys.stderr)
        return WRONG_USAGE
    except LibraryError as error:
        print(f"gateway: {error.code}: {error.message}", file=sys.stderr)
        return FAILED
    except OSError as error:
        # The reader has gone (``| head``) or the disk is full; the interpreter would complain
        # again at its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"gateway: the output cannot be written: {error.strerror}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("gateway: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        desk.keys.close()


def create(desk: Desk, arguments: argparse.Namespace) -> int:
    """Make a key and show it, this once with its secret."""
    store = desk.keys
    key, secret = store.create(arguments.app, arguments.role, arguments.comment, arguments.rate)
    try:
        if arguments.json:
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


def show(desk: Desk, arguments: argparse.Namespace) -> int:
    """List the keys, as a table or as JSON."""
    keys = desk.keys.list()
    if arguments.json:
        print(json.dumps([_document(key) for key in keys]))
        return DONE
    # No markup: comments may hold brackets.
    out = open_console(markup=False)
    table = FittingTable().names("id").words("app").names("role").figures("rate")
    table.names("created", "last used", "revoked").words("comment")
    for key in keys:
        rate = "" if key.rate is None else f"{key.rate:g}/s" if key.rate else "any"
        times = map(shown_time, (key.created, key.used, key.revoked))
        table.add_row(key.id, key.app or "(any)", key.role, rate, *times, key.comment)
    out.print(table)
    return DONE


def revoke(desk: Desk, arguments: argparse.Namespace) -> int:
    """Revoke keys; 1 where one of them is unknown."""
    status = DONE
    for id_ in arguments.id:
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gateway",
        description="The keys that applications call the gateway with, and their apps.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_config(parser, Path("config.yml"))
    subjects = parser.add_subparsers(metavar="SUBJECT", required=True)
    keys = subjects.add_parser("keys", help="the keys", epilog=_EPILOG,
                               formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = keys.add_subparsers(metavar="COMMAND", required=True)
    _add_create(commands)
    parser_of_list = commands.add_parser("list", help="show all keys, without their secrets")
    parser_of_list.set_defaults(run=show)
    parser_of_list.add_argument("--json", action="store_true", help="one JSON document")
    parser_of_revoke = commands.add_parser("revoke", help="take keys back for ever")
    parser_of_revoke.set_defaults(run=revoke)
    parser_of_revoke.add_argument("id", nargs="+", metavar="ID", help="ak_...")
    of_apps = subjects.add_parser("apps", help="the apps").add_subparsers(
        metavar="COMMAND", required=True
    )
    _add_apps(of_apps)
    for command in (*commands.choices.values(), *of_apps.choices.values()):
        # Also behind the command; what is not given there leaves what stands in front of it.
        _add_config(command, argparse.SUPPRESS)
    return parser


def _add_apps(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("list", help="show all apps, when they were made, how large")
    parser.set_defaults(run=app_commands.show)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser = commands.add_parser("delete", help="delete an app with its people and its keys")
    parser.set_defaults(run=app_commands.delete)
    parser.add_argument("app", metavar="APP")


def _add_create(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("create", help="make a key and show its secret, this once")
    parser.set_defaults(run=create)
    add = parser.add_argument
    add("--app", help=f"the app that the key is for; every role but {ADMIN} needs one")
    add("--role", choices=ROLES, required=True,
        help="read: detect, compare, search, list; write: also enrol and delete; "
        "admin: also act in every app")  # fmt: skip
    add("--rate", type=number(float, 0, MAX_RATE), metavar="N",
        help="requests a second, 0 for any number; default: gateway.rate_limit")  # fmt: skip
    add("--comment", default="", metavar="TEXT", help="for whom it is, for your own list")
    add("--json", action="store_true", help="one JSON document")


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--config", type=Path, default=default, metavar="FILE", help="default: config.yml"
    )


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
