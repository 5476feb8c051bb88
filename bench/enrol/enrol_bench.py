"""Enrolment into the face library on SQLite with full sync: ``python -m bench enrol``.

Ready embeddings go in, in batches and one commit a call: first into the store alone, beside what
plain ``sqlite3`` does with the same vectors in one table under the same settings (the difference
is what users, groups, tokens, versions and checks cost), then through the library with a million
faces in it, whose index has followed when a call returns, and with searches beside it. Rounds of
all of them follow each other, and the medians count. The files lie below ``--folder``: a folder in
memory would flatter the figures.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from bench.enrol import indexed, store
from bench.enrol.store import TARGETS, Amounts
from bench.frame import Bench, benchmark, machine_line, runs, seconds
from client.terminal.table import FittingTable
from terminal.options import PATH, Count

# Searches beside enrolment may take so much longer than alone.
RATIO_MOST = 2.0


def _label(way: str, batch: int) -> str:
    return f"batches of {batch}" if way == "batches" else way


def show_store(medians: Mapping[str, float], batch: int, console: Console) -> None:
    """The medians of the store alone."""
    table = FittingTable("the store alone").names("")
    table.figures("faces/s", "at least", "plain sqlite3", "ratio")
    for way, target in TARGETS.items():
        mine, plain = medians[way], medians[f"plain {way}"]
        table.add_row(
            _label(way, batch), f"{mine:,.0f}", f"{target:,.0f}", f"{plain:,.0f}",
            f"{mine / plain:.2f}",
        )  # fmt: skip
    console.print(table)


def show_indexed(found: Mapping[str, Any], batch: int, present: int, console: Console) -> None:
    """The medians of the library, a column for each kind of index."""
    table = FittingTable(f"through the library, {present:,} faces in it").names("")
    table.figures("to be kept", *found)
    for way, target in TARGETS.items():
        cells = [f"{one['rates'][way]:,.0f}" for one in found.values()]
        table.add_row(f"{_label(way, batch)}, faces/s", f"at least {target:,.0f}", *cells)
    table.add_row("a search alone, ms", "", *(f"{one['alone_ms']:.2f}" for one in found.values()))
    for way in TARGETS:
        beside = [
            f"{one['beside_ms'][way]:.2f} ({one['ratios'][way]:.2f})" for one in found.values()
        ]
        table.add_row(
            f"beside {_label(way, batch)}, ms (ratio)", f"at most {RATIO_MOST:g} times", *beside
        )
        paced = [f"{one['paced'][way]:,.0f}" for one in found.values()]
        table.add_row("  faces/s meanwhile", "", *paced)
    console.print(table)


def expectations(alone: Mapping[str, float], found: Mapping[str, Any]) -> dict[str, bool]:
    """What the library is held to, and whether that was kept."""
    rates = {"the store alone": alone, **{kind: one["rates"] for kind, one in found.items()}}
    fast = {
        f"{side}, {way}: at least {target:,.0f} faces/s": one[way] >= target
        for side, one in rates.items()
        for way, target in TARGETS.items()
    }
    beside = {
        f"{kind}, a search beside {way}: at most {RATIO_MOST:g} times": ratio <= RATIO_MOST
        for kind, one in found.items()
        for way, ratio in one["ratios"].items()
    }
    return {**fast, **beside}


@benchmark(
    click.option("--faces", type=Count(1), default=20_000, help="A round in batches."),
    click.option("--singles", type=Count(1), default=300, help="Faces a round one by one."),
    click.option("--batch", type=Count(1), default=1000, help="Faces a call."),
    click.option("--dim", type=Count(1), default=128, help="Numbers of an embedding."),
    runs(),
    click.option(
        "--present", type=Count(0), default=1_000_000, help="In the library; 0: the store alone."
    ),
    seconds(1.5, "Of searches alone and beside, in a round."),
    click.option("--folder", type=PATH, default=".", metavar="DIR", help="On the disk to measure."),
)
def main(bench: Bench) -> None:
    """Everything is at least as the library is held to."""
    asked, console = bench.asked, bench.console
    vectors = np.random.default_rng(0).standard_normal((asked.faces, asked.dim))
    vectors = vectors.astype(np.float32)
    amounts = Amounts(asked.singles, asked.batch, asked.runs)
    console.print(f"{machine_line()}; {asked.dim} components, SQLite, full sync", highlight=False)
    with tempfile.TemporaryDirectory(prefix=".bench-enrol-", dir=asked.folder) as name:
        folder = Path(name).absolute()
        rates = store.measure(folder, vectors, amounts, bench)
        medians = {way: statistics.median(values) for way, values in rates.items()}
        show_store(medians, asked.batch, console)
        rounds: dict[str, indexed.Indexed] = {}
        if asked.present:
            indexed.fill(folder, asked.present, asked.dim, bench)
            for kind in indexed.KINDS:
                rounds[kind] = indexed.measure(folder, kind, vectors, amounts, asked.seconds)
    found = {kind: one.medians() for kind, one in rounds.items()}
    if found:
        show_indexed(found, asked.batch, asked.present, console)
    bench.results = {
        "faces_per_second": medians,
        "rounds": rates,
        "library": found,
        "library_rounds": {kind: vars(one) for kind, one in rounds.items()},
    }
    bench.expected = expectations(medians, found)
