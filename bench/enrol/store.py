"""The store alone, beside plain ``sqlite3`` with the same vectors in one table."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.frame import Bench
from library.library import Library
from library.records import Enrolment, NewFace
from library.sql.sqlite import create, open_file
from library.store.store import Store
from settings.library import LibraryConfig

APP, GROUP, MODEL = "bench", "people", "bench"
# What the store is held to, in faces a second.
TARGETS = {"batches": 5000.0, "one a call": 200.0}


@dataclass(frozen=True)
class Amounts:
    """singles: faces of a round one by one. batch: faces a call. runs: rounds."""

    singles: int
    batch: int
    runs: int


def users(vectors: np.ndarray, prefix: str, start: int = 0) -> list[Enrolment]:
    """Every vector (n, dim) as a user of its own, numbered from `start`."""
    return [
        Enrolment(GROUP, f"{prefix}_{number}", NewFace(vector, MODEL))
        for number, vector in enumerate(vectors, start)
    ]


def enrol(store: Store | Library, vectors: np.ndarray, batch: int, prefix: str) -> None:
    """Every vector as a user of its own, `batch` users a call."""
    for start in range(0, len(vectors), batch):
        store.enrol(APP, users(vectors[start : start + batch], prefix, start))


def insert(connection: sqlite3.Connection, vectors: np.ndarray, batch: int, _: str) -> None:
    """The vectors as rows of one table, `batch` rows a transaction."""
    for start in range(0, len(vectors), batch):
        rows = [(vector.tobytes(),) for vector in vectors[start : start + batch]]
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO face (embedding) VALUES (?)", rows)
        connection.execute("COMMIT")


def measure(
    folder: Path, vectors: np.ndarray, amounts: Amounts, bench: Bench
) -> dict[str, list[float]]:
    """Faces a second of every round, by what was measured."""
    plain_file = folder / "plain.db"
    create(plain_file, timeout_s=10)
    plain = open_file(plain_file, timeout_s=10)
    plain.execute("CREATE TABLE face (id INTEGER PRIMARY KEY, embedding BLOB)")
    store = Store(LibraryConfig(database=f"sqlite:///{folder}/faces.db"))
    store.create_group(APP, GROUP)
    singles, batch = vectors[: amounts.singles], amounts.batch
    runs: dict[str, Callable[[str], None]] = {
        "batches": lambda prefix: enrol(store, vectors, batch, prefix),
        "plain batches": lambda prefix: insert(plain, vectors, batch, prefix),
        "one a call": lambda prefix: enrol(store, singles, 1, prefix),
        "plain one a call": lambda prefix: insert(plain, singles, 1, prefix),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    try:
        for number in bench.track(range(amounts.runs), "rounds"):
            for kind, (name, run) in enumerate(runs.items()):
                started = time.perf_counter()
                run(f"r{number}_{kind}")
                faces = len(vectors) if "batches" in name else len(singles)
                rates[name].append(faces / (time.perf_counter() - started))
    finally:
        store.close()
        plain.close()
    return rates
