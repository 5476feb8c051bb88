"""``python -m tracer [FILE]``: the last interval of pipeline.tracer and what limits the service."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ops.config import Config, ConfigError, load_config
from tracer.analyse import OpSettings, to_dict
from tracer.files import NAME, read_last
from tracer.parse import Interval
from tracer.show import show

STALE = datetime.timedelta(minutes=5)


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0 with an interval shown, 1 without any, 2 for wrong usage."""
    arguments = _parser().parse_args(argv)
    try:
        config = load_config(arguments.config) if arguments.config.is_file() else None
    except ConfigError as error:
        print(f"tracer: threads are not known: {error}", file=sys.stderr)
        config = None
    settings = op_settings(config)
    path = arguments.file or (config.log_dir() if config else Path()) / NAME
    try:
        interval = read_last(path, _wanted_busy if arguments.busy else _wanted)
    except OSError as error:
        reason = f"cannot read {path}: {error.strerror}" if error.strerror else str(error)
        print(f"tracer: {reason} (has the service been started?)", file=sys.stderr)
        return 1
    if interval is None:
        what = "interval with queries" if arguments.busy else "complete interval"
        print(f"tracer: no {what} in {path} yet", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(to_dict(interval, settings, os.cpu_count())))
        return 0
    console = Console()
    show(interval, settings, os.cpu_count(), console)
    if interval.dag is None and not arguments.busy:
        console.print("The last interval with queries: python -m tracer --busy", style="dim")
    _warn_if_stale(interval, console)
    return 0


def op_settings(config: Config | None) -> dict[str, OpSettings]:
    """Threads, batch size and device of every op; nothing where there is no config.yml."""
    if config is None:
        return {}
    return {
        name: OpSettings(op.concurrency, op.batch_size, on_cpu=not op.devices)
        for name, op in config.op.items()
    }


def _wanted(interval: Interval) -> bool:
    return interval.complete


def _wanted_busy(interval: Interval) -> bool:
    return interval.complete and interval.dag is not None


def _warn_if_stale(interval: Interval, console: Console) -> None:
    age = datetime.datetime.now() - interval.time
    if age > STALE:
        text = f"This was {age // datetime.timedelta(minutes=1)} minutes ago."
        console.print(text, style="yellow", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracer", description="The last interval of Paddle Serving's tracer."
    )
    parser.add_argument(
        "file", nargs="?", type=Path, help=f"default: {NAME} where config.yml's log.dir says"
    )
    parser.add_argument(
        "--busy", action="store_true", help="the last interval in which queries were answered"
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yml"), help="for the number of threads an op"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
