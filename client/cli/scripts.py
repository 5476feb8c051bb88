"""The command line that both client scripts share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from client.cli import draw
from client.cli.arguments import number
from client.cli.load import MAX_CONCURRENCY, MAX_REPEAT, LoadRun, Outcome, Summary
from client.cli.report import FaceTable, show_summary
from client.errors import ClientError, UnreadableError
from client.pictures import Picture, collect
from client.pipeline.answer import EMBEDDING_FORMATS, WANTS, ImageAnswer, Options
from client.pipeline.transport import Transport
from client.terminal.console import open_console

ALL_ANSWERED, SOME_FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Client:
    """What differs between the scripts.

    flag: name of the option for the address. connect: (address, timeout in seconds) to a
    transport, ValueError for an address that cannot be one.
    """

    name: str
    over: str
    flag: str
    default: str
    connect: Callable[[str, float], Transport]


def main(client: Client, argv: Sequence[str]) -> int:
    """Runs the script; returns its exit status.

    0: every picture was answered, 1: at least one was not, 2: wrong usage, 130: Ctrl-C.
    """
    parser = _parser(client)
    arguments = parser.parse_args(argv)
    try:
        pictures = collect(arguments.paths)
        _refuse_overwriting(arguments.save, pictures)
        transport = client.connect(arguments.address, arguments.timeout)
    except (FileNotFoundError, ValueError, ImportError) as error:
        print(f"{client.name}: {error}", file=sys.stderr)
        return WRONG_USAGE
    try:
        return _Session(client.name, arguments).run(transport, pictures)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        transport.close()


class _Session:
    """One run: sends the pictures, shows and saves the answers, sums up."""

    def __init__(self, name: str, arguments: argparse.Namespace):
        self._name = name
        self._arguments = arguments
        self._stderr = open_console(stderr=True)
        # With --json standard output holds the answers and nothing else.
        self._stdout = self._stderr if arguments.json else open_console()
        self._outcomes: dict[Picture, Outcome] = {}
        self._save_failed = False

    def run(self, transport: Transport, pictures: Sequence[Picture]) -> int:
        arguments = self._arguments
        load = LoadRun(
            transport, pictures, _options(arguments), arguments.repeat, arguments.concurrency
        )
        if load.summary.planned > 1 and not arguments.no_progress and self._stderr.is_terminal:
            summary = self._with_progress(load)
        else:
            summary = load.run(self._take)
        if summary.unreachable is not None and not summary.answered:
            reason = f"{summary.unreachable.message}; start it with: make run"
            print(f"{self._name}: {reason}", file=sys.stderr)
            return SOME_FAILED
        self._show_table(pictures)
        if summary.planned > 1:
            show_summary(summary, self._stdout)
        if summary.interrupted:
            return INTERRUPTED
        return SOME_FAILED if summary.errors or self._save_failed else ALL_ANSWERED

    def _with_progress(self, load: LoadRun) -> Summary:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeRemainingColumn(),
        )
        # Rich would send standard output through its console, which is standard error.
        with Progress(
            *columns, console=self._stderr, transient=True, redirect_stdout=False
        ) as progress:
            task = progress.add_task("pictures", total=load.summary.planned, failed="")

            def take(outcome: Outcome) -> None:
                failed = load.summary.failed
                text = f"[red]{failed} failed[/]" if failed else ""
                progress.update(task, advance=1, failed=text)
                self._take(outcome)

            return load.run(take)

    def _take(self, outcome: Outcome) -> None:
        if self._arguments.json:
            print(_json_line(outcome), flush=True)
        if outcome.turn:
            return  # the table and the saved pictures show each picture once
        if not self._arguments.json and not self._arguments.no_table:
            self._outcomes[outcome.picture] = outcome
        if self._arguments.save and outcome.answer is not None and outcome.error is None:
            self._save(outcome.picture, outcome.answer.image)

    def _save(self, picture: Picture, answer: ImageAnswer) -> None:
        try:
            draw.save(Path(self._arguments.save), picture, answer)
        except (UnreadableError, OSError) as error:
            self._save_failed = True
            reason = error.message if isinstance(error, ClientError) else str(error)
            print(f"{self._name}: not saved: {reason}", file=sys.stderr)

    def _show_table(self, pictures: Sequence[Picture]) -> None:
        table = FaceTable()
        for picture in pictures:  # threads answer in any order
            if picture in self._outcomes:
                table.add(self._outcomes[picture])
        table.show(self._stdout)


def _json_line(outcome: Outcome) -> str:
    """The service's answer with the picture's name in front, on one line."""
    line: dict[str, object] = {"picture": outcome.picture.name}
    if outcome.answer is not None:
        line.update(outcome.answer.raw)
    elif outcome.error is not None:
        line["error"] = {"code": outcome.error.code, "message": outcome.error.message}
    return json.dumps(line, ensure_ascii=False)


def _refuse_overwriting(save: str | None, pictures: Sequence[Picture]) -> None:
    """Raises ValueError where an annotated picture would replace a picture that was given."""
    if save is None:
        return
    inputs = {picture.path.resolve() for picture in pictures if picture.path is not None}
    for picture in pictures:
        path = draw.target(Path(save), picture)
        if path.resolve() in inputs:
            raise ValueError(f"--save {save} would overwrite {path}; choose another directory")


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        max_faces=arguments.max_faces,
        min_score=arguments.min_score,
        min_size=arguments.min_size,
        smallest_face=arguments.smallest_face,
        want=arguments.want,
        embedding_format=arguments.embedding_format,
        aligned=True if arguments.aligned else None,
    )


def _parser(client: Client) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=client.name,
        description=f"Find and describe the faces in pictures, over {client.over}.",
        epilog="Exit status: 0 all answered, 1 some not, 2 wrong usage, 130 stopped by Ctrl-C.",
    )
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="picture or directory (default: a sample picture)")
    add(client.flag, dest="address", default=client.default, help="default: %(default)s")
    add(
        "--timeout",
        type=number(float, 0.001, 86_400),
        default=30.0,
        metavar="S",
        help="seconds to wait for an answer",
    )
    _add_output(parser)
    _add_request(parser)
    group = parser.add_argument_group("load")
    repeat, threads = number(int, 1, MAX_REPEAT), number(int, 1, MAX_CONCURRENCY)
    group.add_argument(
        "--repeat", type=repeat, default=1, metavar="N", help="send every picture N times"
    )
    group.add_argument(
        "--concurrency", type=threads, default=1, metavar="N", help="requests under way at a time"
    )
    return parser


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--json", action="store_true", help="only the answers on standard output, one a line"
    )
    group.add_argument("--save", metavar="DIR", help="write pictures with the faces drawn in")
    group.add_argument("--no-table", action="store_true", help="no table of faces")
    group.add_argument("--no-progress", action="store_true", help="no progress bar")


def _add_request(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("request", "left to the service where not given")
    add = group.add_argument
    add("--max-faces", type=number(int, 1, 10_000), metavar="N", help="largest first")
    add("--min-score", type=number(float, 0, 1), metavar="X", help="0 to 1")
    add(
        "--smallest-face",
        type=number(int, 0, 100_000),
        metavar="PIXELS",
        help="search for faces down to this size",
    )
    add("--min-size", type=number(int, 0, 100_000), metavar="PIXELS", help="shorter side of a box")
    add("--want", type=_want, metavar="LIST", help=f"comma-separated: {', '.join(WANTS)}")
    add("--embedding-format", choices=EMBEDDING_FORMATS)
    add("--aligned", action="store_true", help="the pictures already are aligned faces")


def _want(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    unknown = [name for name in names if name not in WANTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)} (of {', '.join(WANTS)})")
    return names
