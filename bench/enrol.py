"""Enrolment into the face library on SQLite with full sync: ``python -m bench enrol``.

Ready embeddings go in, in batches and one commit a call: first into the store alone, beside what
plain ``sqlite3`` does with the same vectors in one table under the same settings (the difference
is what users, groups, tokens, versions and checks cost), then through the library with a million
faces in it, whose index has followed when a call returns, and with searches beside it. Rounds of
all of them follow each other, and the medians count. The files lie below ``--folder``: a folder in
memory would flatter the figures.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.enrolling import indexed, store
from bench.enrolling.store import TARGETS, Amounts
from bench.load.cpu import machine_line
from terminal.console import open_console
from terminal.table import FittingTable

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


def kept(alone: Mapping[str, float], found: Mapping[str, Any]) -> bool:
    """Whether all is as the library is held to."""
    rates = [alone, *(one["rates"] for one in found.values())]
    fast = all(one[way] >= target for one in rates for way, target in TARGETS.items())
    ratios = [ratio for one in found.values() for ratio in one["ratios"].values()]
    return fast and all(ratio <= RATIO_MOST for ratio in ratios)


def main(argv: Sequence[str]) -> int:
    """Measure and print; 0 when everything is at least as the library is held to."""
    options = _parser().parse_args(argv)
    console = open_console()
    vectors = np.random.default_rng(0).standard_normal((options.faces, options.dim))
    vectors = vectors.astype(np.float32)
    amounts = Amounts(options.singles, options.batch, options.runs)
    console.print(f"{machine_line()}; {options.dim} components, SQLite, full sync", highlight=False)
    with tempfile.TemporaryDirectory(prefix=".bench-enrol-", dir=options.folder) as name:
        folder = Path(name).absolute()
        rates = store.measure(folder, vectors, amounts, console)
        medians = {way: statistics.median(values) for way, values in rates.items()}
        show_store(medians, options.batch, console)
        rounds: dict[str, indexed.Indexed] = {}
        if options.present:
            indexed.fill(folder, options.present, options.dim, console)
            for kind in indexed.KINDS:
                rounds[kind] = indexed.measure(folder, kind, vectors, amounts, options.seconds)
    found = {kind: one.medians() for kind, one in rounds.items()}
    if found:
        show_indexed(found, options.batch, options.present, console)
    if options.json:
        figures = {
            "machine": machine_line(), "dim": options.dim, "present": options.present,
            "faces_per_second": medians, "rounds": rates, "library": found,
            "library_rounds": {kind: vars(one) for kind, one in rounds.items()},
        }  # fmt: skip
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(not kept(medians, found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench enrol", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--faces", type=int, default=20_000, help="faces a round in batches (default: 20000)")
    add("--singles", type=int, default=300, help="faces a round one by one (default: 300)")
    add("--batch", type=int, default=1000, help="faces a call (default: 1000)")
    add("--dim", type=int, default=128, help="numbers of an embedding (default: 128)")
    add("--runs", type=int, default=5, help="rounds (default: 5)")
    add("--present", type=int, default=1_000_000, help="in the library; 0: the store alone")
    add("--seconds", type=float, default=1.5, help="of searches alone and beside, in a round")
    add("--folder", type=Path, default=Path(), help="on the disk to measure")
    add("--json", type=Path, help="write the figures into this file")
    return parser
