"""Memory of all processes of the running service: ``python -m bench memory``.

Starts the service of ``config.yml`` on free ports, or attaches to a running one (``--pid`` and
``--url``), has every stage work on pictures with one and with several faces, and prints what each
process holds. RSS counts pages that several processes share once for each of them; USS leaves
them out. PSS divides each shared page by the number of its users, so the sum of PSS is what the
service takes from the machine: that sum is held against the limit. It is a little smaller while
other programs use the same libraries.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from client.errors import ClientError
from client.pictures import sample_png
from client.pipeline.answer import WANTS, Options
from client.pipeline.http import DEFAULT_URL, HttpTransport
from runtime.launch import started
from terminal.console import open_console
from terminal.table import FittingTable

MB = 1_000_000
LIMIT_MB = 1200
CONCURRENCY = 8


@dataclass(frozen=True)
class Usage:
    """Memory of one process in bytes. command: how it is called in the table."""

    pid: int
    command: str
    rss: int
    pss: int
    uss: int


def usage_of(pid: int) -> list[Usage]:
    """The process and all its descendants. Raises psutil.NoSuchProcess if there is no such one."""
    parent = psutil.Process(pid)
    found = []
    for process in (parent, *parent.children(recursive=True)):
        # A child may end between being listed and being looked at.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            memory = process.memory_full_info()
            command = _command(process.cmdline())
            found.append(Usage(process.pid, command, memory.rss, memory.pss, memory.uss))
    return found


def _command(arguments: Sequence[str]) -> str:
    """What was run, without the interpreter's path: ``-m ops.serving config.yml``."""
    shown = arguments[1:] if len(arguments) > 1 else arguments
    return " ".join(Path(part).name if part.startswith("/") else part for part in shown[:3])


def sample_pictures() -> list[str]:
    """base64 of the sample picture (one face) and of nine of it in a square (nine faces)."""
    import cv2
    import numpy as np

    one = sample_png()
    tile = cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)
    _, nine = cv2.imencode(".png", np.tile(tile, (3, 3, 1)))
    return [base64.b64encode(data).decode("ascii") for data in (one, nine.tobytes())]


def work(url: str, requests: int) -> int:
    """Send ``requests`` requests that need every stage; the number of faces in the answers.

    Raises ClientError.
    """
    pictures = sample_pictures()
    options = Options(want=WANTS)
    turns = (pictures[turn % len(pictures)] for turn in range(requests))
    with HttpTransport(url, timeout=120.0) as transport, ThreadPoolExecutor(CONCURRENCY) as pool:
        answers = list(pool.map(lambda picture: transport.predict(picture, options), turns))
    return sum(len(answer.image.faces) for answer in answers)


def show(usages: Sequence[Usage], limit_mb: float, console: Console) -> None:
    """Print the table and the verdict."""
    table = FittingTable().names("PID").words("process").figures("RSS MB", "PSS MB", "USS MB")
    for usage in usages:
        figures = (f"{figure / MB:.1f}" for figure in (usage.rss, usage.pss, usage.uss))
        table.add_row(str(usage.pid), usage.command, *figures)
    table.add_section()
    totals = (
        sum(usage.rss for usage in usages),
        total_pss(usages),
        sum(usage.uss for usage in usages),
    )
    table.add_row("", "all processes", *(f"{total / MB:.1f}" for total in totals))
    console.print(table)
    held = total_pss(usages) / MB
    verdict = "within" if held <= limit_mb else "OVER"
    console.print(
        f"{held:.0f} MB taken from the machine (the sum of PSS, which counts shared pages once), "
        f"{held / limit_mb:.2f} of the limit of {limit_mb:.0f} MB: {verdict}"
    )


def total_pss(usages: Sequence[Usage]) -> int:
    """What the processes take from the machine together, in bytes."""
    return sum(usage.pss for usage in usages)


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; 0 within the limit, 1 above it or when the service does not answer."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    console = open_console()
    try:
        with _service(arguments, console) as (pid, url):
            faces = work(url, arguments.requests)
            console.print(f"{arguments.requests} requests answered, {faces} faces")
            usages = usage_of(pid)
    except (ClientError, RuntimeError, psutil.Error) as error:
        console.print(f"bench memory: {error}", style="red", markup=False)
        return 1
    show(usages, arguments.limit, console)
    return 0 if total_pss(usages) <= arguments.limit * MB else 1


@contextlib.contextmanager
def _service(arguments: argparse.Namespace, console: Console) -> Iterator[tuple[int, str]]:
    """The process id and the address of the service that is to be measured."""
    if arguments.pid is not None:
        yield arguments.pid, arguments.url
        return
    console.print(f"starting the service of {arguments.config} on free ports")
    with started(arguments.config) as service:
        yield service.pid, service.url


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", type=Path, default=Path("config.yml"), metavar="FILE")
    parser.add_argument("--pid", type=int, help="web_service.py that runs already")
    parser.add_argument("--url", default=DEFAULT_URL, help="its address (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=64, metavar="N", help="default: 64")
    parser.add_argument("--limit", type=float, default=LIMIT_MB, metavar="MB", help="default: 1200")
    return parser
