"""How time and memory grow with the number of faces: measured, and extrapolated where need be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench.load.figures import latencies_ms
from bench.search.measure import BATCH, timed
from bench.search.sides import (
    USERS,
    Ours,
    add_faces,
    counted_bytes,
    faiss_threads,
)
from library.index.memory.faiss_engine import faiss

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 2_000_000, 5_000_000)
# Of the machine's free memory, that the benchmark may take.
_SHARE = 0.6
# Copies of a vector's float32 components that are held at once: the faces themselves, and both
# indexes at less than one half and a bit each.
_COPIES = 2.6
_SECONDS = 0.6


@dataclass(frozen=True)
class Point:
    """One size. ms: of a single search, by side. mb: of an index, by side."""

    faces: int
    ms: dict[str, float]
    batch_ms: dict[str, float]
    mb: dict[str, float]
    measured: bool

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def sizes_that_fit(dim: int, most: int) -> list[int]:
    """The sizes up to `most` whose faces fit into the free memory."""
    free = psutil.virtual_memory().available * _SHARE
    return [size for size in SIZES if size <= most and size * dim * 4 * _COPIES <= free]


def measure(
    ours: Sequence[Ours],
    faces: np.ndarray,
    persons: np.ndarray,
    probes: np.ndarray,
    threads: int,
    sizes: Iterable[int],
) -> list[Point]:
    """The sides at growing sizes; the indexes grow with them."""
    points = []
    for size in sizes:
        present = faces[:size]

        def flat(queries: np.ndarray, present: np.ndarray = present) -> None:
            faiss.knn(queries, present, USERS, metric=faiss.METRIC_INNER_PRODUCT)

        ms, batch, mb = {}, {}, {"faiss flat": present.nbytes / 1e6}
        with faiss_threads(threads):
            ms["faiss flat"] = _p50(flat, probes, 1)
            batch["faiss flat"] = _p50(flat, probes, BATCH)
        for side in ours:
            add_faces(side.index, present, persons)
            side.search(probes[:1])
            ms[side.name] = _p50(side.search, probes, 1)
            batch[side.name] = _p50(side.search, probes, BATCH)
            mb[side.name] = counted_bytes(side.index) / 1e6
        points.append(Point(size, ms, batch, mb, measured=True))
    return points


def _p50(call: Callable[[np.ndarray], Any], probes: np.ndarray, size: int) -> float:
    return latencies_ms(timed(call, probes, size, _SECONDS))["p50"]


def extended(points: Sequence[Point], sizes: Sequence[int]) -> list[Point]:
    """The points with those that did not fit, extrapolated by a line through the last two."""
    found = list(points)
    if len(points) < 2:
        return found
    before, last = points[-2], points[-1]
    for size in sizes:
        if size <= last.faces:
            continue

        def line(old: dict[str, float], new: dict[str, float], at: int = size) -> dict[str, float]:
            share = (at - last.faces) / (last.faces - before.faces)
            return {name: new[name] + (new[name] - old[name]) * share for name in new}

        found.append(
            Point(
                size,
                line(before.ms, last.ms),
                line(before.batch_ms, last.batch_ms),
                line(before.mb, last.mb),
                measured=False,
            )
        )
    return found


def plot(points: Sequence[Point], dim: int, path: Path) -> None:
    """Time of a search and memory over the number of faces; what is extrapolated is dotted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    titles = {
        "ms": ("one search", "ms"),
        "batch_ms": (f"a batch of {BATCH}", "ms"),
        "mb": ("memory", "MB"),
    }
    measured = [point for point in points if point.measured]
    rest = [point for point in points if not point.measured]
    for axis, (name, (title, unit)) in zip(axes, titles.items()):
        for number, side in enumerate(measured[0].ms):

            def course(chosen: Sequence[Point], n: str = name, s: str = side) -> list[float]:
                return [getattr(point, n)[s] for point in chosen]

            colour = f"C{number}"
            x = [point.faces for point in measured]
            axis.plot(x, course(measured), marker="o", color=colour, label=side)
            if rest:
                joined = [measured[-1], *rest]
                x = [point.faces for point in joined]
                label = f"{side}, extrapolated"
                axis.plot(x, course(joined), linestyle=":", color=colour, label=label)
        axis.set(title=f"{title}, {dim} components", xlabel="faces", ylabel=unit)
        axis.set(xscale="log", yscale="log")
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend()
    figure.savefig(path)
    pyplot.close(figure)
