"""Measurements of the search benchmark: rounds, recall, snapshots, searches beside a writer."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.load.figures import latencies_ms
from bench.search.faces import Probes
from bench.search.sides import USERS, Ours, Side, add_faces, forget_pages
from library.index.memory.exact import ExactIndex

BATCH = 32
# Probes searched at once where nothing is timed.
_RECALL_BATCH = 256
_LEAST = 5  # calls in a round, however long they take


@dataclass
class Figures:
    """Of one side, a number for each round. single_ms: p50 of one query; batch_ms: of BATCH."""

    single_ms: list[float] = field(default_factory=list)
    single_p99_ms: list[float] = field(default_factory=list)
    batch_ms: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """The rounds' medians, and queries a second with one at a time and with batches."""
        single, batch = statistics.median(self.single_ms), statistics.median(self.batch_ms)
        return {
            "single_ms": single,
            "single_p99_ms": statistics.median(self.single_p99_ms),
            "batch_ms": batch,
            "single_per_s": 1e3 / single,
            "batch_per_s": BATCH * 1e3 / batch,
        }


def timed(
    call: Callable[[np.ndarray], Any], probes: np.ndarray, size: int, seconds: float
) -> list[float]:
    """Seconds of each call with `size` probes, one call after the other for so long."""
    taken: list[float] = []
    limit = time.perf_counter() + seconds
    while len(taken) < _LEAST or time.perf_counter() < limit:
        first = len(taken) * size % max(1, len(probes) - size + 1)
        queries = probes[first : first + size]
        began = time.perf_counter()
        call(queries)
        taken.append(time.perf_counter() - began)
    return taken


def rounds(
    sides: Sequence[Side], probes: np.ndarray, count: int, seconds: float
) -> dict[str, Figures]:
    """All sides in turn, `count` times, with one query a call and with BATCH."""
    figures = {side.name: Figures() for side in sides}
    for side in sides:
        side.search(probes[:BATCH])
        side.search(probes[:1])
    for _ in range(count):
        for side in sides:
            single = latencies_ms(timed(side.search, probes, 1, seconds))
            batch = latencies_ms(timed(side.search, probes, BATCH, seconds))
            own = figures[side.name]
            own.single_ms.append(single["p50"])
            own.single_p99_ms.append(single["p99"])
            own.batch_ms.append(batch["p50"])
    return figures


def in_batches(side: Side, probes: np.ndarray) -> np.ndarray:
    """The best of each probe: (q,)."""
    starts = range(0, len(probes), _RECALL_BATCH)
    return np.concatenate([side.search(probes[s : s + _RECALL_BATCH])[:, 0] for s in starts])


def recall(
    flat: Side, ours: Sequence[Ours], persons: np.ndarray, probes: Probes
) -> dict[str, float]:
    """Recall@1: share of the probes with the same best person as faiss's flat index has.

    `target`: share whose best person, by the flat index, is the one they were made from. It is
    no property of an index: among many faces some stranger is nearer than 0.5.
    """
    best = persons[in_batches(flat, probes.vectors)]
    found = {side.name: float(np.mean(in_batches(side, probes.vectors) == best)) for side in ours}
    return {**found, "target": float(np.mean(best == persons[probes.targets]))}


def in_groups(side: Ours, probes: np.ndarray, seconds: float) -> dict[str, float]:
    """p50 in ms of a search in groups that have 1 % and 50 % of the persons."""
    figures = {}
    for share, groups in ((0.01, [7]), (0.5, list(range(50)))):
        search = partial(side.index.search, k=USERS, groups=groups)
        figures[f"{share:.0%}"] = latencies_ms(timed(search, probes, 1, seconds))["p50"]
    return figures


def beside_writer(
    side: Ours, faces: np.ndarray, probes: np.ndarray, seconds: float, rate: int
) -> dict[str, Any]:
    """p50 and p99 of single searches, alone and while another thread adds `rate` faces a second.

    rate: 0 for as many as it can. The faces come in batches of 1,000, and are removed again.
    """
    index = side.index
    first = int(index.ids()[-1]) + 1
    end = threading.Event()
    added = 0

    def write() -> None:
        nonlocal added
        began = time.perf_counter()
        while not end.is_set():
            rows = np.arange(added, added + 1000)
            index.add(first + rows, first + rows, rows % 100, faces[rows % len(faces)], 1)
            added += len(rows)
            if rate:
                end.wait(max(0.0, began + added / rate - time.perf_counter()))

    alone = latencies_ms(timed(side.search, probes, 1, seconds))
    writer = threading.Thread(target=write)
    writer.start()
    try:
        began = time.perf_counter()
        beside = latencies_ms(timed(side.search, probes, 1, seconds))
        reached = added / (time.perf_counter() - began)
    finally:
        end.set()
        writer.join()
    index.remove(first + np.arange(added), 1)
    ratios = {name: beside[name] / alone[name] for name in ("p50", "p99")}
    return {"alone_ms": alone, "beside_ms": beside, "ratio": ratios, "faces_per_s": reached}


def snapshot(index: ExactIndex, probe: np.ndarray, folder: str | None) -> dict[str, float]:
    """Seconds to save, and from loading (pages not in memory) to the first answer; bytes."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "index"
        began = time.perf_counter()
        index.save(path)
        saved = time.perf_counter() - began
        forget_pages(path)
        began = time.perf_counter()
        settings = {"storage": index.table.storage, "threads": index.threads}
        loaded = type(index).load(path, index.collection, **settings)
        loaded.search(probe, 5)
        ready = time.perf_counter() - began
        size = path.stat().st_size
        del loaded
    return {"save_s": saved, "ready_s": ready, "bytes": size}


def build(side: Ours, faces: np.ndarray, persons: np.ndarray) -> float:
    """Faces a second that can be added to an empty index."""
    return len(faces) / add_faces(side.index, faces, persons)
