"""Enrolment through the library, whose index has followed when a call returns; searches beside it.

The library has faces already, a million unless told otherwise: what an index costs for each face
may grow with them.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bench.enrol.store import APP, GROUP, MODEL, Amounts, enrol, users
from bench.frame import Bench
from bench.load.figures import latencies_ms
from bench.search.measure import timed
from inference.scores import Recogniser, Scores
from library.library import Library
from library.store.store import Store
from runtime.process import take_turns_quickly
from settings.library import IndexConfig, LibraryConfig

KINDS = ("exact", "approximate")
# Faces a second that are enrolled beside searches: what the library is held to at least.
PACES = {"one a call": 200, "batches": 5000}
_FILLED_AT_ONCE = 5000


@dataclass
class Indexed:
    """One kind of index, a number for each round.

    rates: faces a second, by the way of enrolling, when nothing else is done.
    alone_ms: p50 of a search. beside_ms: beside enrolment at PACES, ratios: to the same round's
    search alone, paced: faces a second reached meanwhile; by the way of enrolling.
    """

    rates: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in PACES})
    alone_ms: list[float] = field(default_factory=list)
    beside_ms: dict[str, list[float]] = field(default_factory=lambda: {n: [] for n in PACES})
    ratios: dict[str, list[float]] = field(default_factory=lambda: {n: [] for n in PACES})
    paced: dict[str, list[float]] = field(default_factory=lambda: {n: [] for n in PACES})

    def medians(self) -> dict[str, Any]:
        """The same with the rounds' medians."""
        found: dict[str, Any] = {"alone_ms": statistics.median(self.alone_ms)}
        for name in ("rates", "beside_ms", "ratios", "paced"):
            of_ways = getattr(self, name)
            found[name] = {way: statistics.median(rounds) for way, rounds in of_ways.items()}
        return found


def fill(folder: Path, present: int, dim: int, bench: Bench) -> None:
    """Make a database of so many faces of random directions, each a user's."""
    rng = np.random.default_rng(1)
    starts = range(0, present, _FILLED_AT_ONCE)
    with Store(_config(folder, KINDS[0])) as store:
        store.create_group(APP, GROUP)
        for start in bench.track(starts, "faces to begin with"):
            size = min(_FILLED_AT_ONCE, present - start)
            vectors = rng.standard_normal((size, dim), dtype=np.float32)
            store.enrol(APP, users(vectors, "present", start))


def measure(
    folder: Path, kind: str, vectors: np.ndarray, amounts: Amounts, seconds: float
) -> Indexed:
    """Enrol the vectors through a library of that kind of index, and search beside it.

    seconds: of searches alone, and beside each way of enrolling, in each round.
    """
    found = Indexed()
    recogniser = Recogniser(MODEL, vectors.shape[1], Scores(impostor_mean=0.0, threshold=0.4))
    take_turns_quickly()  # as the service's processes do
    with Library(_config(folder, kind), recogniser) as library:
        # Now and not amid a round.
        library.save_snapshot(APP)
        # The first search after a start takes longer.
        library.search(APP, list(vectors[:1]))
        for number in range(amounts.runs):
            _one_round(library, vectors, amounts, f"{kind}_{number}", seconds, found)
    return found


def _one_round(
    library: Library,
    vectors: np.ndarray,
    amounts: Amounts,
    prefix: str,
    seconds: float,
    found: Indexed,
) -> None:
    ways = {"one a call": (vectors[: amounts.singles], 1), "batches": (vectors, amounts.batch)}
    for way, (some, batch) in ways.items():
        started = time.perf_counter()
        enrol(library, some, batch, f"{prefix}_{batch}")
        found.rates[way].append(len(some) / (time.perf_counter() - started))

    def search(queries: np.ndarray) -> None:
        library.search(APP, list(queries))

    alone = latencies_ms(timed(search, vectors, 1, seconds))["p50"]
    found.alone_ms.append(alone)
    for way, (_, batch) in ways.items():
        with _enrolling(library, vectors, batch, PACES[way], f"{prefix}_{batch}_beside") as paced:
            beside = latencies_ms(timed(search, vectors, 1, seconds))["p50"]
        found.beside_ms[way].append(beside)
        found.ratios[way].append(beside / alone)
        found.paced[way].append(paced[0])


@contextmanager
def _enrolling(
    library: Library, vectors: np.ndarray, batch: int, pace: int, prefix: str
) -> Iterator[list[float]]:
    """Enrol meanwhile, `pace` faces a second; afterwards the list has the pace that was kept."""
    end = threading.Event()
    reached: list[float] = []

    def work() -> None:
        began, done = time.perf_counter(), 0
        for call in count():
            first = call * batch % max(1, len(vectors) - batch + 1)
            enrol(library, vectors[first : first + batch], batch, f"{prefix}_{call}")
            done += batch
            if end.wait(max(0.0, began + done / pace - time.perf_counter())):
                break
        reached.append(done / (time.perf_counter() - began))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield reached
    finally:
        end.set()
        thread.join()


def _config(folder: Path, kind: str) -> LibraryConfig:
    # A snapshot of another kind of index has other arrays.
    index = IndexConfig(kind=kind, snapshot_dir=f"snapshots-{kind}")
    return LibraryConfig(folder=folder, database="sqlite:///present.db", index=index)
