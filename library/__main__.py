"""``python -m library``: what an operator does with the face library."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click

from client.terminal.command import INTERRUPTED, run_command
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
from library.commands.options import SettingsError, of_all
from library.commands.session import FAILED, WRONG_USAGE, CommandError
from library.errors import LibraryError
from terminal.options import SETTINGS, run_program

_EPILOG = "Exit status: 0 done, 1 not or not all, 2 wrong usage, 130 stopped by Ctrl-C."


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit status.

    0: done, 1: not, or not all of it, 2: wrong usage or settings, 130: Ctrl-C.
    """
    logging.basicConfig(level=logging.WARNING, format="library: %(message)s")
    try:
        return run_program(program, argv, "python -m library")
    except SettingsError as error:
        print(f"library: {error}", file=sys.stderr)
        return WRONG_USAGE
    except LibraryError as error:
        print(f"library: {error.code}: {error.message}", file=sys.stderr)
        return FAILED
    except (CommandError, ManifestError) as error:
        print(f"library: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("library: interrupted; what was committed stays", file=sys.stderr)
        return INTERRUPTED


@click.group(context_settings=SETTINGS, epilog=_EPILOG)
@of_all
def program() -> None:
    """Import, export, verify, back up and search the face library."""


for _command in (
    import_command.run,
    export_command.run,
    verify_command.run,
    stats_command.run,
    backup_command.backup,
    backup_command.restore,
    reembed_command.run,
    delete_command.run,
    search_command.run,
):
    program.add_command(_command)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
