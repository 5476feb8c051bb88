"""What every benchmark has: its command line, progress, a verdict, and its figures as JSON."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import click
import httpx
import psutil
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, track

from client.errors import ClientError
from client.terminal.command import INTERRUPTED
from client.terminal.console import open_console
from inference.manifest import ManifestError
from runtime.launch import Service, ended_by_sigterm, started
from settings.config import ConfigError
from terminal.options import PATH, SETTINGS, Count, Number, Option, config_option, run_program

KEPT, MISSED, WRONG_USAGE = 0, 1, 2

# What keeps a benchmark from measuring, and is told in a line.
FAILURES: tuple[type[Exception], ...] = (
    *(OSError, RuntimeError, psutil.Error, httpx.HTTPError),
    *(ClientError, ConfigError, ManifestError),
)
# Whose versions figures depend on.
_PACKAGES = (
    *("paddlepaddle", "paddlepaddle-gpu", "paddle-serving-server", "paddle-serving-server-gpu"),
    *("faiss-cpu", "numpy", "onnxruntime", "opencv-python-headless", "grpcio"),
)
_DRAWN = (".png", ".svg", ".pdf")

Say = Callable[[str], None]
_Item = TypeVar("_Item")


class Bench:
    """One run of a benchmark.

    asked: its options. console: standard output, for tables. notes: standard error, for progress.
    results: figures, JSON-ready. expected: what it is held to in words, and whether it was kept.
    """

    def __init__(self, name: str, asked: Any) -> None:
        self.name = name
        self.asked = asked
        self.console = open_console()
        self.notes = open_console(stderr=True, markup=False, soft_wrap=True)
        self.results: dict[str, Any] = {}
        self.expected: dict[str, bool] = {}

    @contextlib.contextmanager
    def status(self, text: str = "", redraw: bool = True) -> Iterator[Say]:
        """A line of what is done now, on a terminal; yields what changes it.

        redraw: also while it is the same, by a thread, which takes part in what is measured.
        """
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(
            *columns, console=self.notes, transient=True, auto_refresh=redraw,
            disable=not self.notes.is_terminal, redirect_stdout=self.console.is_terminal,
        ) as progress:  # fmt: skip
            task = progress.add_task(text)
            yield lambda text: progress.update(task, description=text, refresh=not redraw)

    def track(self, items: Sequence[_Item], text: str) -> Iterable[_Item]:
        """The items, with a bar on a terminal."""
        disable = not self.notes.is_terminal
        return track(items, text, console=self.notes, transient=True, disable=disable)

    @contextlib.contextmanager
    def service(self) -> Iterator[Service]:
        """That of `SERVICE`'s options: one that runs, or one of `--config` on free ports."""
        asked = self.asked
        if asked.pid is not None:
            yield Service(asked.pid, asked.url, getattr(asked, "address", ""))
            return
        self.notes.print(f"starting the service of {asked.config} on free ports")
        with started(asked.config) as service:
            yield service

    def run(self, measure: Callable[[Bench], None], failures: Sequence[type[Exception]]) -> int:
        """Measure, tell what was kept and write `--json`'s file; the exit status."""
        status, trouble = KEPT, ""
        try:
            with ended_by_sigterm():
                measure(self)
        except KeyboardInterrupt:
            status, trouble = INTERRUPTED, "interrupted"
        except BrokenPipeError:
            raise
        except click.UsageError as error:
            error.show()
            return WRONG_USAGE
        except (*FAILURES, *failures) as error:
            status, trouble = MISSED, str(error)
            self.notes.print(f"bench {self.name}: {trouble}", style="red")
        for words, kept in self.expected.items():
            self.console.print(f"  {words}: {'[green]kept[/]' if kept else '[red]MISSED[/]'}")
        status = status or (KEPT if all(self.expected.values()) else MISSED)
        if self.asked.json and self.results:
            document = self._document(status, trouble)
            text = json.dumps(document, indent=1, default=str)
            self.asked.json.write_text(text + "\n", encoding="utf-8")
        return status

    def _document(self, status: int, trouble: str) -> dict[str, Any]:
        expected = {words: bool(kept) for words, kept in self.expected.items()}
        return {
            "bench": self.name,
            "options": vars(self.asked),
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(),
            "results": self.results,
            "verdict": {"kept": status == KEPT, "trouble": trouble, "expected": expected},
        }


class Benchmark:
    """`main` of a benchmark's module: called with its arguments, it gives the exit status.

    0: what it is held to was kept. 1: it was not, or could not be measured. 2: wrong usage.
    """

    def __init__(
        self,
        measure: Callable[[Bench], None],
        options: Sequence[Option[Any]],
        failures: Sequence[type[Exception]],
    ) -> None:
        # NAME of bench/NAME.py or bench/NAME/NAME_bench.py
        self.name = measure.__module__.split(".")[1]
        self._measure = measure
        self._failures = failures
        described = (sys.modules[measure.__module__].__doc__ or "").replace("\n  ", "\n")
        command: Any = _Command(self.name, SETTINGS, self._run, help=described)
        for add in (*options, _JSON):
            add(command)
        self._command = command

    def __call__(self, argv: Sequence[str]) -> int:
        return run_program(self._command, argv, f"python -m bench {self.name}")

    def _run(self, **options: Any) -> int:
        return Bench(self.name, SimpleNamespace(**options)).run(self._measure, self._failures)


def benchmark(
    *options: Option[Any], failures: Sequence[type[Exception]] = ()
) -> Callable[[Callable[[Bench], None]], Benchmark]:
    """Make what measures a benchmark's `main`. The module's docstring is its help.

    failures: exceptions that say why it could not be measured, beside `FAILURES`.
    """
    return lambda measure: Benchmark(measure, options, failures)


class OutputFile(click.Path):
    """A file that is written at the end, checked at the start. suffixes: one of them, if any."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)
        self._suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"{value} is no file in a folder that exists.", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{value} cannot be written.", param, ctx)
        if self._suffixes and path.suffix.lower() not in self._suffixes:
            self.fail(f"{value} does not end with {' or '.join(self._suffixes)}.", param, ctx)
        return path


class _Counts(click.ParamType):
    """Whole numbers of at least 1, "8,16,32"; a tuple."""

    name = "n,n"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            found = value if isinstance(value, tuple) else tuple(map(int, value.split(",")))
        except ValueError:
            found = (0,)
        if min(found) < 1:
            self.fail(f"{value!r} is not made of whole numbers from 1 on.", param, ctx)
        return found


class _Several(click.Option):
    """An option with one value or more behind it: `--sets vga hd`."""

    def make_metavar(self, ctx: click.Context) -> str:
        return f"{super().make_metavar(ctx)}..."


class _Command(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = {name for one in self.params if isinstance(one, _Several) for name in one.opts}
        return super().parse_args(ctx, list(_one_by_one(args, names)))


def _one_by_one(args: Sequence[str], names: set[str]) -> Iterator[str]:
    """`--sets vga hd` as `--sets vga --sets hd`."""
    name, first = "", True
    for arg in args:
        if arg.startswith("-"):
            name, first = arg if arg in names else "", True
        elif name:
            if not first:
                yield name
            first = False
        yield arg


def several(name: str, **more: Any) -> Option[Any]:
    """An option with one value or more behind it; a tuple."""
    return click.option(name, cls=_Several, multiple=True, **more)


def seconds(default: float, of: str = "Of one measured run.", least: float = 0.0) -> Option[Any]:
    """`--seconds`, above 0."""
    kind = Number(least, min_open=not least)
    return click.option("--seconds", type=kind, default=default, help=of)


def runs(of: str = "Rounds, of which the medians count.") -> Option[Any]:
    """`--runs`."""
    return click.option("--runs", type=Count(1), default=5, help=of)


def levels(default: tuple[int, ...]) -> Option[Any]:
    """`--levels`, a tuple."""
    return click.option("--levels", type=_Counts(), default=default, help="Concurrencies.")


def plot(text: str, *suffixes: str) -> Option[Any]:
    """`--plot`."""
    kind = OutputFile(*(suffixes or _DRAWN))
    return click.option("--plot", type=kind, metavar="FILE", help=text)


GALLERY = click.option(
    "--gallery", type=PATH, required=True, metavar="DIR", help="A folder per person."
)
CONFIG = config_option
_JSON = click.option(
    "--json", type=OutputFile(), metavar="FILE", help="Write all figures there, too."
)
# A service that runs already, instead of one of `CONFIG` on free ports.
PID = click.option("--pid", type=int, metavar="PID", help="Of a web_service.py that runs already.")
URL = click.option(
    "--url", metavar="URL", default="http://127.0.0.1:9998/ArcFace/prediction", help="Its HTTP."
)
ADDRESS = click.option(
    "--address", metavar="HOST:PORT", default="127.0.0.1:18091", help="Its gRPC."
)
SERVICE = (CONFIG, PID, URL, ADDRESS)


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    model = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    memory = round(psutil.virtual_memory().total / 2**30)
    return {"processor": model, "cores": os.cpu_count(), "memory_GiB": memory}


def machine_line() -> str:
    """The same for people."""
    about = machine()
    return f"{about['processor']}, {about['cores']} cores, {about['memory_GiB']} GiB"


def versions() -> dict[str, str]:
    """Python's, and those of packages that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
