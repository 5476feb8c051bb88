"""Memory of all processes of the running service: ``python -m bench memory``.

Starts the service of ``config.yml`` on free ports, or attaches to a running one (``--pid`` and
``--url``), has every stage work on pictures with one and with several faces, and prints what each
process holds. RSS counts pages that several processes share once for each of them; USS leaves
them out. PSS divides each shared page by the number of its users, so the sum of PSS is what the
service takes from the machine: that sum is held against the limit. It is a little smaller while
other programs use the same libraries.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console

from bench.frame import CONFIG, PID, URL, Bench, benchmark
from client.pictures import sample_png
from client.pipeline.answer import WANTS, Options
from client.pipeline.http import HttpTransport
from client.terminal.table import FittingTable
from terminal.options import Count, Number

MB = 1_000_000
LIMIT_MB = 800
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


@benchmark(
    CONFIG,
    PID,
    URL,
    click.option("--requests", type=Count(1), default=64, help="That are answered before."),
    click.option("--limit", type=Number(0), default=LIMIT_MB, metavar="MB"),
)
def main(bench: Bench) -> None:
    """All processes together stay within the limit."""
    asked = bench.asked
    with bench.service() as service:
        faces = work(service.url, asked.requests)
        bench.console.print(f"{asked.requests} requests answered, {faces} faces")
        usages = usage_of(service.pid)
    show(usages, asked.limit, bench.console)
    held = total_pss(usages)
    bench.results = {"pss": held, "processes": [asdict(usage) for usage in usages]}
    bench.expected[f"within {asked.limit:g} MB"] = held <= asked.limit * MB
