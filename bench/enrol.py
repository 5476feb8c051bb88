"""Enrolment into the face library on SQLite with full sync: ``python -m bench enrol``.

Ready embeddings go in, in batches and one commit a call, beside what plain ``sqlite3`` does with
the same vectors in one table under the same settings: the difference is what users, groups,
tokens, versions and checks cost. Rounds of all four follow each other, and the medians count. The
files lie below ``--folder``: a folder in memory would flatter the figures.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from library.config import LibraryConfig
from library.records import Enrolment, NewFace
from library.sqlite import create, open_file
from library.store import Store

# What the library is held to, in faces a second.
TARGETS = {"batches": 5000.0, "one a call": 200.0}
APP, GROUP, MODEL = "bench", "people", "bench"


def enrol(store: Store, vectors: np.ndarray, batch: int, prefix: str) -> None:
    """Every vector as a user of its own, `batch` users a call."""
    for start in range(0, len(vectors), batch):
        store.enrol(
            APP,
            [
                Enrolment(GROUP, f"{prefix}_{start + number}", NewFace(vector, MODEL))
                for number, vector in enumerate(vectors[start : start + batch])
            ],
        )


def insert(connection: sqlite3.Connection, vectors: np.ndarray, batch: int, _: str) -> None:
    """The vectors as rows of one table, `batch` rows a transaction."""
    for start in range(0, len(vectors), batch):
        rows = [(vector.tobytes(),) for vector in vectors[start : start + batch]]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO face (embedding) VALUES (?)", rows)
        connection.execute("COMMIT")


def measure(folder: Path, options: argparse.Namespace, console: Console) -> dict[str, list[float]]:
    """Faces a second of every round, by what was measured."""
    vectors = np.random.default_rng(0).standard_normal((options.faces, options.dim))
    vectors = vectors.astype(np.float32)
    plain_file = folder / "plain.db"
    create(plain_file, timeout_s=10)
    plain = open_file(plain_file, timeout_s=10)
    plain.execute("CREATE TABLE face (id INTEGER PRIMARY KEY, embedding BLOB)")
    store = Store(LibraryConfig(database=f"sqlite:///{folder}/faces.db"))
    store.create_group(APP, GROUP)
    runs: dict[str, Callable[[str], None]] = {
        "batches": lambda prefix: enrol(store, vectors, options.batch, prefix),
        "plain batches": lambda prefix: insert(plain, vectors, options.batch, prefix),
        "one a call": lambda prefix: enrol(store, vectors[: options.singles], 1, prefix),
        "plain one a call": lambda prefix: insert(plain, vectors[: options.singles], 1, prefix),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    try:
        for number in track(range(options.runs), "rounds", console=console, transient=True):
            for kind, (name, run) in enumerate(runs.items()):
                started = time.perf_counter()
                run(f"r{number}_{kind}")
                faces = options.faces if "batches" in name else options.singles
                rates[name].append(faces / (time.perf_counter() - started))
    finally:
        store.close()
        plain.close()
    return rates


def show(medians: dict[str, float], options: argparse.Namespace, console: Console) -> None:
    """The medians as a table."""
    table = Table(title=f"enrolment, {options.dim}-d, SQLite, full sync", title_justify="left")
    for name in ("", "faces/s", "at least", "plain sqlite3", "ratio"):
        table.add_column(name, justify="right" if name else "left")
    for name, target in TARGETS.items():
        mine, plain = medians[name], medians[f"plain {name}"]
        label = f"batches of {options.batch}" if name == "batches" else name
        table.add_row(
            label, f"{mine:,.0f}", f"{target:,.0f}", f"{plain:,.0f}", f"{mine / plain:.2f}"
        )
    console.print(table)


def main(argv: Sequence[str]) -> int:
    """Measure and print; 0 when both rates are at least what they are held to."""
    parser = argparse.ArgumentParser(prog="python -m bench enrol", description=__doc__)
    parser.add_argument("--faces", type=int, default=20_000, help="faces a round in batches")
    parser.add_argument("--singles", type=int, default=300, help="faces a round one by one")
    parser.add_argument("--batch", type=int, default=1000, help="faces a call")
    parser.add_argument("--dim", type=int, default=128, help="numbers of an embedding")
    parser.add_argument("--runs", type=int, default=5, help="rounds")
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    options = parser.parse_args(argv)
    console = Console()
    with tempfile.TemporaryDirectory(prefix=".bench-enrol-", dir=options.folder) as folder:
        rates = measure(Path(folder).absolute(), options, console)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    show(medians, options, console)
    if options.json:
        figures = {"faces_per_second": medians, "rounds": rates, "dim": options.dim}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return int(any(medians[name] < target for name, target in TARGETS.items()))
