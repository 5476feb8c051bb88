"""The options of several commands, and how a command gets its session by them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from library.commands.session import Session
from settings.config import ConfigError, load_config
from terminal.options import Count, Number, config_everywhere, everywhere


class SettingsError(Exception):
    """Settings that no command can work with."""


_CONFIG, _CONFIG_OF_EACH = config_everywhere()
_NO_PROGRESS, _NO_PROGRESS_OF_EACH = everywhere(
    "--no-progress", False, is_flag=True, help="No progress bar."
)


def of_all(program: Callable[..., Any]) -> Callable[..., Any]:
    """The options that may stand in front of every command."""
    return _CONFIG(_NO_PROGRESS(program))


def with_session(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command its session, by the options of `of_all`. Raises SettingsError."""

    @_CONFIG_OF_EACH
    @_NO_PROGRESS_OF_EACH
    @functools.wraps(command)
    def run(**options: Any) -> int:
        meta = click.get_current_context().meta
        try:
            config = load_config(meta["config"])
            progress = not meta["no-progress"]
            session = Session(config, config.library_config(), progress=progress)
        except (ConfigError, ValueError) as error:
            raise SettingsError(str(error)) from error
        return command(session, **options)

    return run


APP = click.option("--app", default="default", help="Whose people.")
ANY_APP = click.option("--app", show_default="all", help="Whose people.")
MAX_FACES = click.option(
    "--max-faces", type=Count(1, 1000), default=10, help="Looked for, largest first."
)
SERVICE = click.option(
    "--service", default="", metavar="ADDRESS", show_default="where config.yml has it listen",
    help="http://... or HOST:PORT for gRPC.",
)  # fmt: skip
TIMEOUT = click.option(
    "--timeout", type=Number(0.001, 86_400), default=30.0, metavar="S", help="Of a request."
)
CONCURRENCY = click.option(
    "--concurrency", type=Count(1, 256), default=8, help="Requests under way at a time."
)
