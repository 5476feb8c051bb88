"""``python -m deploy``: what the people do who run the service on a server."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from client.terminal.command import INTERRUPTED, run_command
from deploy.check import alone, options

if __name__ == "__main__" and alone.is_needed():
    # Before an installation; what is imported below is not there yet.
    sys.exit(run_command(lambda: alone.main(sys.argv[1:])))

import click

from deploy.errors import DeployError
from library.errors import LibraryError
from settings.config import ConfigError
from terminal.options import SETTINGS, run_program

DONE, FAILED, WRONG_USAGE = 0, 1, 2

_EPILOG = "Exit status: 0 done, 1 not or not all, 2 wrong usage, 130 stopped by Ctrl-C."
# Commands by name: module with it, its attribute, and its line in the list of all.
_COMMANDS: dict[str, tuple[str, str, str]] = {
    "check": ("deploy.check.command", "run", options.SHORT),
    "sbom": ("deploy.sbom.command", "sbom", "What is installed here, and under which licences."),
    "upgrade": ("deploy.bundling.commands", "upgrade", "Let another release run."),
    "rollback": ("deploy.bundling.commands", "rollback", "Let the release from before run again."),
    "bundle": ("deploy.bundling.commands", "bundle", "Make a file to install from offline."),
    "backup": ("deploy.life.commands", "backup", "Write a backup; the oldest go."),
    "drill": ("deploy.life.commands", "run_drill", "Restore the newest backup, and compare."),
    "migrate": ("deploy.life.commands", "migrate", "Bring the database's tables up or down."),
    "reload": ("deploy.life.commands", "reload", "Take over settings while serving."),
    "tenants": ("deploy.tenants.command", "tenants", "Several services on one machine."),
    "mig": ("deploy.mig.command", "mig", "GPUs that several tenants share."),
    "dashboards": ("deploy.monitoring.command", "dashboards", "Write Grafana's dashboards."),
}


class _Commands(click.Group):
    """Imports a command when it is used: a check has to work where half of the packages do not."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


def main(argv: Sequence[str]) -> int:
    """Run a command; its exit status.

    0: done, 1: not, or not all of it, 2: wrong usage or settings, 130: Ctrl-C.
    """
    try:
        return run_program(program, argv, "python -m deploy")
    except ConfigError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return WRONG_USAGE
    except LibraryError as error:
        print(f"deploy: {error.code}: {error.message}", file=sys.stderr)
        return FAILED
    except DeployError as error:
        print(f"deploy: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("deploy: interrupted", file=sys.stderr)
        return INTERRUPTED


@click.group(cls=_Commands, context_settings=SETTINGS, epilog=_EPILOG)
def program() -> None:
    """Check a server, install on it, run tenants, watch and keep them."""


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
