"""``python -m tracer [FILE...]``: the last interval of pipeline.tracer, and a period."""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from settings.config import Config, ConfigError, load_config
from terminal.command import run_command
from terminal.console import open_console
from tracer import source, terminal_view
from tracer.document import to_dict
from tracer.plot import SUFFIXES, save
from tracer.setup import Setup, cores_here, setup_of
from tracer.source import NothingFoundError, Range, Reading
from tracer.trace_files import NAME, existing
from tracer.watch import watch

STALE = datetime.timedelta(minutes=5)
USUAL_SPAN = datetime.timedelta(minutes=10)


def main(argv: Sequence[str]) -> int:
    """Returns the exit status: 0 with something shown, 1 without any, 2 for wrong usage."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.plot and arguments.plot.suffix.lower() not in SUFFIXES:
        parser.error(f"--plot {arguments.plot}: one of {', '.join(SUFFIXES)} is expected")
    config = _config(arguments.config)
    setup = setup_of(config, arguments.cores or cores_here())
    paths = arguments.file or _usual_files(config)
    wanted = _range(arguments)
    if arguments.watch:
        watch(paths, wanted, setup, arguments.busy, open_console())
        return 0
    try:
        found = paths if arguments.file else existing(paths)
        with open_console(stderr=True).status("reading"):  # some seconds for a whole log
            reading = source.read(found, wanted, setup, arguments.busy)
            if arguments.plot:
                save(reading, setup, arguments.plot)
    except NothingFoundError as error:
        return _fail(str(error))
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        return _fail(f"{reason} (has the service been started?)")
    if arguments.json:
        print(json.dumps(to_dict(reading, setup), allow_nan=False))
    else:
        _show(reading, setup, arguments)
    return 0


def _usual_files(config: Config | None) -> list[Path]:
    """Where the service writes, a file for each replica."""
    if config is None:
        return [NAME]
    return [config.log_dir(replica) / NAME for replica in range(config.replicas)]


def _fail(text: str) -> int:
    print(f"tracer: {text}", file=sys.stderr)
    return 1


def _config(path: Path) -> Config | None:
    try:
        return load_config(path) if path.is_file() else None
    except ConfigError as error:
        print(f"tracer: threads are not known: {error}", file=sys.stderr)
        return None


def _range(arguments: argparse.Namespace) -> Range:
    since, until = arguments.since, arguments.until
    if isinstance(until, datetime.timedelta):
        until = datetime.datetime.now() - until
    if isinstance(since, datetime.datetime):
        return Range(since=since, until=until)
    return Range(span=None if arguments.all else since or USUAL_SPAN, until=until)


def _show(reading: Reading, setup: Setup, arguments: argparse.Namespace) -> None:
    console = open_console(highlight=True)
    console.print(terminal_view.interval_view(reading.last, setup))
    if reading.period.intervals > reading.last.intervals:
        points = source.course(reading, setup, terminal_view.TREND)
        console.print()
        console.print(terminal_view.period_view(reading, setup, points))
    if not reading.last.queries and not arguments.busy:
        console.print("The last interval with queries: python -m tracer --busy", style="dim")
    age = datetime.datetime.now() - reading.last.end
    if age > STALE:
        text = f"This was {age // datetime.timedelta(minutes=1)} minutes ago."
        console.print(text, style="yellow", highlight=False)
    if arguments.plot:
        console.print(f"Plot: {arguments.plot}", style="dim", highlight=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tracer",
        description="Where the pipeline's time goes, what limits it and what to change.",
    )
    parser.add_argument(
        "file", nargs="*", type=Path,
        help=f"of each replica one; default: {NAME} where config.yml's log.dir says, of them all",
    )  # fmt: skip
    period = parser.add_mutually_exclusive_group()
    period.add_argument(
        "--since", "--last", type=_when, metavar="WHEN",
        help="the period: the last 10m (the default), 90s, 1.5h, 2d of the file, or from 14:30 "
        "or 2026-01-31T14:30 on",
    )  # fmt: skip
    period.add_argument("--all", action="store_true", help="the period: the whole file")
    parser.add_argument("--until", type=_when, metavar="WHEN", help="leave out what is later")
    parser.add_argument(
        "--busy", action="store_true", help="end with the last interval that answered queries"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    output.add_argument("--watch", action="store_true", help="live, until Ctrl-C")
    output.add_argument(
        "--plot", type=Path, metavar="FILE", help="also a picture: .png, .svg, .html"
    )
    parser.add_argument(
        "--config", type=Path, default=Path("config.yml"), help="for the ops' threads and devices"
    )
    parser.add_argument(
        "--cores", type=int, help="of the service's machine, where that is another one"
    )
    return parser


def _when(text: str) -> datetime.timedelta | datetime.datetime:
    try:
        return source.parse_when(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a duration like 10m nor a time like 14:30"
        ) from None


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
