"""``python -m deploy check`` of an installed service."""

from __future__ import annotations

from pathlib import Path

import click

from client.terminal.console import open_console
from deploy.check import options
from deploy.check.machine import ThisMachine
from deploy.check.report import show, show_json
from deploy.check.run import Asked, check
from terminal.options import PATH, SETTINGS, config_option, json_option


@click.command(context_settings=SETTINGS, epilog=options.EPILOG, short_help=options.SHORT)
@config_option
@click.option("--expect", type=PATH, metavar="FILE", help=options.EXPECT)
@click.option("--for", "role", type=click.Choice(options.ROLES), default=options.ROLES[0],
              help=options.ROLE)  # fmt: skip
@json_option
def run(config: Path, expect: Path | None, role: str, as_json: bool) -> int:
    """Check this server: before an installation, and after it.

    It changes nothing. What each item asks for stands in deploy/check/requirements.toml.
    """
    report = check(ThisMachine(), Asked(config, role, expect))
    if as_json:
        show_json(report)
    else:
        show(report, open_console(markup=False))
    return report.status
