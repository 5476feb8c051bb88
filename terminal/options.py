"""Command lines in one style: how they are run, and the same words for the same options."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

# Of every command: -h beside --help, and each option's default in its help.
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "show_default": True}

PATH = click.Path(path_type=Path)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
Option = Callable[[_Decorated], _Decorated]


class Count(click.IntRange):
    """A whole number within bounds, both of which count; N in the help."""

    name = "n"


class Number(click.FloatRange):
    """A finite number within bounds; N in the help."""

    name = "n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def json_option(function: _Decorated) -> _Decorated:
    """`--json`, as `as_json`: one document on standard output instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON document.")(function)


_CONFIG: dict[str, Any] = {"type": PATH, "metavar": "FILE", "help": "Settings of the service."}
_CONFIG_FILE = "config.yml"


def config_option(function: _Decorated) -> _Decorated:
    """`--config FILE`, as `config`."""
    return click.option("--config", default=_CONFIG_FILE, **_CONFIG)(function)


def everywhere(name: str, default: Any, **more: Any) -> tuple[Option, Option]:
    """An option for a group and one for its commands: it may stand in front of them and behind.

    What it comes to is in the context's `meta`, by the option's name without dashes.
    """
    key = name.strip("-")

    def note(context: click.Context, _: click.Parameter, value: Any) -> None:
        # A command's counts, where it is given.
        if key not in context.meta or value is not None:
            context.meta[key] = value

    common = {"expose_value": False, "callback": note, **more}
    shown = False if more.get("is_flag") else str(default)
    return (
        click.option(name, default=default, **common),
        click.option(name, default=None, show_default=shown, **common),
    )


def config_everywhere() -> tuple[Option, Option]:
    """`--config FILE` for a group and for its commands, see `everywhere`."""
    return everywhere("--config", _CONFIG_FILE, **_CONFIG)


def at_most_one(*names: str) -> None:
    """Raise click.UsageError where several of the present command's options were given.

    names: of their parameters.
    """
    context = click.get_current_context()
    options = {one.name: one.opts[0] for one in context.command.params}
    given = [options[name] for name in names if context.params[name]]
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} do not go together.", context)


def run_program(program: click.Command, argv: Sequence[str], name: str) -> int:
    """A command line's exit status. name: as users type it.

    Raises SystemExit: with 0 after --help, with 2 for wrong usage, which standard error names.
    """
    try:
        with program.make_context(name, list(argv)) as context:
            return int(program.invoke(context) or 0)
    except click.exceptions.Exit as end:
        raise SystemExit(end.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
