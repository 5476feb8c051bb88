"""``python -m library``: what an operator does with the face library."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from client.cli.arguments import number
from inference.manifest import ManifestError
from library.commands import (
    backup_command,
    delete_command,
    export_command,
    import_command,
    reembed_command,
    search_command,
    stats_command,
    verify_command,
)
from library.commands.session import (
    FAILED,
    INTERRUPTED,
    WRONG_USAGE,
    CommandError,
    Session,
)
from library.errors import LibraryError
from settings.config import ConfigError, load_config
from terminal.command import run_command


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit status.

    0: done, 1: not, or not all of it, 2: wrong usage or settings, 130: Ctrl-C.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="library: %(message)s")
    try:
        config = load_config(arguments.config)
        session = Session(config, config.library_config(), progress=not arguments.no_progress)
    except (ConfigError, ValueError) as error:
        print(f"library: {error}", file=sys.stderr)
        return WRONG_USAGE
    try:
        return int(arguments.run(session, arguments))
    except LibraryError as error:
        print(f"library: {error.code}: {error.message}", file=sys.stderr)
        return FAILED
    except (CommandError, ManifestError) as error:
        print(f"library: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        # The reader has gone (``| head``); the interpreter would complain at its last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        print("library: interrupted; what was committed stays", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m library",
        description="Import, export, verify, back up and search the face library.",
        epilog="Exit status: 0 done, 1 not or not all, 2 wrong usage, 130 stopped by Ctrl-C.",
    )
    _add_general(parser, Path("config.yml"), False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_import(commands)
    _add_export(commands)
    _add_verify(commands)
    _add_stats(commands)
    _add_backup(commands)
    _add_reembed(commands)
    _add_delete(commands)
    _add_search(commands)
    for command in commands.choices.values():
        # Also behind the command; what is not given there leaves what stands in front of it.
        _add_general(command, argparse.SUPPRESS, argparse.SUPPRESS)
    return parser


def _add_general(parser: argparse.ArgumentParser, config: object, no_progress: object) -> None:
    parser.add_argument(
        "--config", type=Path, default=config, metavar="FILE", help="default: config.yml"
    )
    parser.add_argument(
        "--no-progress", action="store_true", default=no_progress, help="no progress bar"
    )


# It has no public name.
Commands = argparse._SubParsersAction  # noqa: SLF001


def _add_import(commands: Commands) -> None:
    parser = commands.add_parser("import", help="enrol a folder of pictures per person")
    parser.set_defaults(run=import_command.run)
    add = parser.add_argument
    add("directory", type=Path, metavar="DIR", help="a folder per person, named like the person")
    add("--group", required=True, help="where the users go; made where it is not there")
    _add_app(parser)
    add(
        "--action", choices=("append", "replace"), default="append",
        help="keep the faces that a user has, or exchange them (default: %(default)s)",
    )  # fmt: skip
    add("--by-id", action="store_true",
        help="the folders are named by user ids, and the users may have any names")  # fmt: skip
    add(
        "--several", choices=("largest", "refuse"), default="largest",
        help="of several faces in a picture: take the largest, or none (default: %(default)s)",
    )  # fmt: skip
    add("--max-faces", type=number(int, 1, 1000), default=10, metavar="N", help="looked for")
    add("--min-score", type=number(float, 0, 1), metavar="X", help="of a detection, 0 to 1")
    add("--min-size", type=number(int, 0, 100_000), default=0, metavar="PIXELS",
        help="of a face's shorter side")  # fmt: skip
    add("--min-sharpness", type=number(float, 0, 1e6), default=0.0, metavar="X",
        help="of the aligned face (variance of its Laplacian); 0 for any")  # fmt: skip
    add("--report", type=Path, metavar="FILE", help="write what became of whom, and why, as JSON")
    _add_service(parser, concurrency=True)


def _add_export(commands: Commands) -> None:
    parser = commands.add_parser("export", help="write all faces as lines of JSON")
    parser.set_defaults(run=export_command.run)
    parser.add_argument(
        "target", type=Path, metavar="DIR|FILE",
        help="a directory gets faces.jsonl and the stored pictures, - is standard output",
    )  # fmt: skip
    _add_app(parser)


def _add_verify(commands: Commands) -> None:
    parser = commands.add_parser("verify", help="look for what should not be")
    parser.set_defaults(run=verify_command.run)
    parser.add_argument("--app", help="default: all")
    parser.add_argument("--repair", action="store_true", help="put right what is found")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _add_stats(commands: Commands) -> None:
    parser = commands.add_parser("stats", help="what the library holds")
    parser.set_defaults(run=stats_command.run)
    parser.add_argument("--app", help="default: all")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def _add_backup(commands: Commands) -> None:
    parser = commands.add_parser("backup", help="write a copy while the library is used")
    parser.set_defaults(run=backup_command.backup)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser = commands.add_parser("restore", help="put a backup back")
    parser.set_defaults(run=backup_command.restore)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--replace", action="store_true", help="in place of all that is there")


def _add_reembed(commands: Commands) -> None:
    parser = commands.add_parser(
        "reembed", help="move an app to the service's recogniser by the stored pictures"
    )
    parser.set_defaults(run=reembed_command.run)
    parser.add_argument("--model", required=True, help="the recogniser that the service runs")
    _add_app(parser)
    _add_service(parser, concurrency=True)


def _add_delete(commands: Commands) -> None:
    parser = commands.add_parser("delete-user", help="delete a user without a trace")
    parser.set_defaults(run=delete_command.run)
    parser.add_argument("user", metavar="USER")
    parser.add_argument("--group", help="default: all groups that have the user")
    parser.add_argument(
        "--compact", action="store_true",
        help="also write the database's files anew, which keeps writers out meanwhile",
    )  # fmt: skip
    _add_app(parser)


def _add_search(commands: Commands) -> None:
    parser = commands.add_parser("search", help="who is in a picture")
    parser.set_defaults(run=search_command.run)
    add = parser.add_argument
    add("picture", type=Path, metavar="PICTURE")
    add("--group", action="append", metavar="GROUP", help="where; may be repeated (default: all)")
    add("--users", type=number(int, 1, 1000), default=5, metavar="N", help="for each face")
    add("--threshold", type=number(float, 0, 100), default=80.0, metavar="SCORE",
        help="from 0 to 100 (default: %(default)g)")  # fmt: skip
    add("--max-faces", type=number(int, 1, 1000), default=10, metavar="N", help="largest first")
    add("--aligned", action="store_true", help="the picture already is an aligned face")
    add("--json", action="store_true", help="one JSON document")
    _add_app(parser)
    _add_service(parser)


def _add_app(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--app", default="default", help="default: %(default)s")


def _add_service(parser: argparse.ArgumentParser, concurrency: bool = False) -> None:
    group = parser.add_argument_group("service")
    group.add_argument(
        "--service", default="", metavar="ADDRESS",
        help="http://... or HOST:PORT for gRPC; default: where config.yml has it listen",
    )  # fmt: skip
    group.add_argument("--timeout", type=number(float, 0.001, 86_400), default=30.0, metavar="S")
    if concurrency:
        group.add_argument("--concurrency", type=number(int, 1, 256), default=8, metavar="N",
                           help="requests under way at a time")  # fmt: skip


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
