"""Searches in memory against faiss's plain flat index, in one run: ``python -m bench search``.

On the same faces and probes, with the same threads, in rounds, one side after the other: faiss's
flat index of the bare vectors, its flat index in fp16, and the library's exact and approximate
index, which find users instead of vectors. The faces are made up, in such a way that they are
spread as embeddings are; ``bench/search/faces.py`` says how. Also measured: recall, memory,
snapshots, searches in groups, searches while faces are added, and with ``--plot`` the growth from
ten thousand to five million faces.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from typing import Any

import click
import numpy as np

from bench.frame import Bench, Say, benchmark, machine_line, plot, runs, seconds
from bench.load.cpu import Meter
from bench.load.figures import ratio
from bench.search import growth, measure
from bench.search.faces import FaceModel, Probes, default_effective, impostor_deviation
from bench.search.show import APPROXIMATE, EXACT, FLAT, FP16, expectations, show, show_growth
from bench.search.sides import (
    Flat,
    Ours,
    counted_bytes,
    make_flat,
    make_fp16,
    make_index,
    resident_bytes,
    stored_bytes,
)
from library.index.memory.approximate import ApproximateIndex
from library.index.memory.codec import STORAGES
from library.index.memory.exact import ExactIndex
from library.index.memory.faiss_engine import cores
from terminal.options import Count, Number

KINDS: dict[str, type[ExactIndex]] = {EXACT: ExactIndex, APPROXIMATE: ApproximateIndex}


class _Run:
    def __init__(self, bench: Bench) -> None:
        self._bench, asked = bench, bench.asked
        self._asked = asked
        self._threads = asked.threads or cores()
        effective = asked.effective or default_effective(asked.dim)
        self._model = FaceModel(asked.dim, effective, asked.seed)

    def run(self) -> None:
        """Measure, and show as it comes."""
        asked = self._asked
        sizes = growth.sizes_that_fit(asked.dim, asked.growth) if asked.plot else []
        faces = max([asked.faces, *sizes])
        with self._bench.status("making faces", redraw=False) as say:
            persons = self._model.persons(faces)
            index, vectors = make_flat(asked.dim, self._model.faces(persons), faces)
            probes = self._model.probes(vectors[: asked.faces], asked.probes)
            index.ntotal = asked.faces
            report = self._report(index, vectors[: asked.faces], persons, probes, say)
        self._bench.console.print(f"{machine_line()}; {self._threads} threads a search")
        show(report, self._bench.console)
        if asked.plot:
            report["growth"] = self._grow(vectors, persons, probes.vectors, sizes)
        self._bench.results, self._bench.expected = report, expectations(report)

    def _report(
        self,
        index: Any,
        vectors: np.ndarray,
        persons: np.ndarray,
        probes: Probes,
        say: Say,
    ) -> dict[str, Any]:
        asked = self._asked
        flat = Flat(FLAT, index, self._threads)
        ours, build, memory = [], {}, {}
        say("building the indexes")
        for name, kind in KINDS.items():
            side = Ours(name, make_index(kind, asked.dim, asked.storage, self._threads))
            gc.collect()
            before = resident_bytes()
            build[name] = measure.build(side, vectors, persons)
            memory[name] = _memory(side.index, resident_bytes() - before, asked.faces)
            ours.append(side)
        fp16 = Flat(FP16, make_fp16(asked.dim, vectors), self._threads)
        meter = Meter({"bench": os.getpid()})
        sides = [flat, fp16, *ours]
        say("searching in rounds")
        figures = measure.rounds(sides, probes.vectors, asked.runs, asked.seconds)
        others = meter.cores()["others"]
        # What remains is of the library alone.
        del sides, fp16
        say("recall")
        recall = measure.recall(flat, ours, persons, probes)
        say("groups, snapshots, searches beside a writer")
        exact, plain = figures[EXACT], figures[FLAT]
        gain = [measure.BATCH * single for single in exact.single_ms]
        return {
            "faces": asked.faces,
            "dim": asked.dim,
            "storage": ours[0].index.table.storage,
            "threads": self._threads,
            "runs": asked.runs,
            "model": self._description(vectors, persons),
            "others_cores": others,
            "medians": {name: own.medians() for name, own in figures.items()},
            "ratios": {
                "exact/flat": ratio(exact.single_ms, plain.single_ms),
                "exact batch": ratio(gain, exact.batch_ms),
            },
            "recall": recall,
            "memory": memory,
            "build": build,
            "groups": {s.name: measure.in_groups(s, probes.vectors, asked.seconds) for s in ours},
            "snapshot": {
                s.name: measure.snapshot(s.index, probes.vectors[:1], asked.folder) for s in ours
            },
            "writer": {s.name: self._beside(s, vectors, probes.vectors) for s in ours},
        }

    def _beside(self, side: Ours, vectors: np.ndarray, probes: np.ndarray) -> dict[str, Any]:
        rates = {"paced": self._asked.rate, "unpaced": 0}
        seconds = 3 * self._asked.seconds
        return {
            name: measure.beside_writer(side, vectors, probes, seconds, rate)
            for name, rate in rates.items()
        }

    def _description(self, vectors: np.ndarray, persons: np.ndarray) -> str:
        return (
            f"made up, {len(np.unique(persons[: len(vectors)])):,} persons with one to nine each, "
            f"{self._model.effective:.0f} effective dimensions of {self._model.dim}, cosines of "
            f"different persons with a deviation of {impostor_deviation(vectors, persons):.3f}, "
            "probes at 0.5 to 0.7 to their target"
        )

    def _grow(
        self, vectors: np.ndarray, persons: np.ndarray, probes: np.ndarray, sizes: Sequence[int]
    ) -> list[dict[str, Any]]:
        asked = self._asked
        ours = [
            Ours(name, make_index(kind, asked.dim, asked.storage, self._threads))
            for name, kind in KINDS.items()
        ]
        shown = self._bench.track(sizes, "growth")
        points = growth.measure(ours, vectors, persons, probes, self._threads, shown)
        points = growth.extended(points, [s for s in growth.SIZES if s <= asked.growth])
        show_growth(points, asked.dim, self._bench.console)
        growth.plot(points, asked.dim, asked.plot)
        self._bench.console.print(f"plotted in {asked.plot}")
        return [point.to_dict() for point in points]


def _memory(index: ExactIndex, resident: int, faces: int) -> dict[str, float]:
    """Bytes a face: counted, and by what the process grew; and their share of the vector's."""
    counted = counted_bytes(index) / faces
    vector = stored_bytes(index) / faces
    worst = max(counted, resident / faces)
    return {"counted": counted, "resident": resident / faces, "of_vector": worst / vector}


@benchmark(
    click.option("--faces", type=Count(1), default=1_000_000),
    click.option("--dim", type=Count(1), default=128, help="Numbers of an embedding."),
    click.option("--effective", type=Number(0),
                 help="Dimensions that are filled.  [default: 3/8 of --dim]"),
    click.option("--storage", type=click.Choice(("auto", *STORAGES)), default="auto"),
    click.option("--threads", type=Count(0), default=0, help="0: one a core."),
    click.option("--probes", type=Count(1), default=1024, help="For recall."),
    runs(),
    seconds(0.6, "Of a side in a round."),
    click.option("--rate", type=Count(1), default=5000, help="Faces a second added meanwhile."),
    click.option("--seed", type=int, default=0, help="Of the faces."),
    click.option("--folder", metavar="DIR",
                 help="Where snapshots are tried.  [default: the system's]"),
    plot("Measure the growth too; PNG or SVG.", ".png", ".svg"),
    click.option("--growth", type=Count(1), default=5_000_000, help="Up to so many faces."),
)  # fmt: skip
def main(bench: Bench) -> None:
    """Everything is as the library is held to."""
    _Run(bench).run()
