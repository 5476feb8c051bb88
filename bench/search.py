"""Searches in memory against faiss's plain flat index, in one run: ``python -m bench search``.

On the same faces and probes, with the same threads, in rounds, one side after the other: faiss's
flat index of the bare vectors, its flat index in fp16, and the library's exact and approximate
index, which find users instead of vectors. The faces are made up, in such a way that they are
spread as embeddings are; ``bench/searching/faces.py`` says how. Also measured: recall, memory,
snapshots, searches in groups, searches while faces are added, and with ``--plot`` the growth from
ten thousand to five million faces.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from bench.load.cpu import Meter, machine, machine_line
from bench.load.figures import ratio
from bench.searching import growth, measure
from bench.searching.faces import FaceModel, Probes, default_effective, impostor_deviation
from bench.searching.show import APPROXIMATE, EXACT, FLAT, FP16, expectations, show, show_growth
from bench.searching.sides import (
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
from terminal.console import open_console

KINDS: dict[str, type[ExactIndex]] = {EXACT: ExactIndex, APPROXIMATE: ApproximateIndex}


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; 0 when everything that the library is held to was kept, else 1."""
    arguments = _parser().parse_args(argv)
    console = open_console()
    report = _Run(arguments, console).run()
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0 if all(report["kept"].values()) else 1


class _Run:
    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self._asked = arguments
        self._console = console
        self._threads = arguments.threads or cores()
        self._model = FaceModel(
            arguments.dim, arguments.effective or default_effective(arguments.dim), arguments.seed
        )

    def run(self) -> dict[str, Any]:
        """Measure, and show as it comes; JSON-ready."""
        asked = self._asked
        sizes = growth.sizes_that_fit(asked.dim, asked.growth) if asked.plot else []
        faces = max([asked.faces, *sizes])
        # Shown when it changes only: a thread that draws would take part in what is measured.
        progress = Progress(
            TextColumn("{task.description}"), TimeElapsedColumn(),
            console=self._console, transient=True, auto_refresh=False,
        )  # fmt: skip
        with progress:
            task = progress.add_task("")

            def step(name: str) -> None:
                progress.update(task, description=name, refresh=True)

            step("making faces")
            persons = self._model.persons(faces)
            index, vectors = make_flat(asked.dim, self._model.faces(persons), faces)
            probes = self._model.probes(vectors[: asked.faces], asked.probes)
            index.ntotal = asked.faces
            report = self._report(index, vectors[: asked.faces], persons, probes, step)
        self._console.print(f"{machine_line()}; {self._threads} threads a search")
        report["kept"] = expectations(report)
        show(report, self._console)
        if asked.plot:
            report["growth"] = self._grow(vectors, persons, probes.vectors, sizes)
        return report

    def _report(
        self,
        index: Any,
        vectors: np.ndarray,
        persons: np.ndarray,
        probes: Probes,
        step: Callable[[str], None],
    ) -> dict[str, Any]:
        asked = self._asked
        flat = Flat(FLAT, index, self._threads)
        ours, build, memory = [], {}, {}
        step("building the indexes")
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
        step("searching in rounds")
        figures = measure.rounds(sides, probes.vectors, asked.runs, asked.seconds)
        others = meter.cores()["others"]
        # What remains is of the library alone.
        del sides, fp16
        step("recall")
        recall = measure.recall(flat, ours, persons, probes)
        step("groups, snapshots, searches beside a writer")
        exact, plain = figures[EXACT], figures[FLAT]
        gain = [measure.BATCH * single for single in exact.single_ms]
        return {
            "machine": machine(),
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
        with Progress(console=self._console, transient=True) as progress:
            task = progress.add_task("growth", total=len(sizes))
            points = growth.measure(
                ours,
                vectors,
                persons,
                probes,
                self._threads,
                sizes,
                lambda: progress.advance(task),
            )
        points = growth.extended(points, [s for s in growth.SIZES if s <= asked.growth])
        show_growth(points, asked.dim, self._console)
        growth.plot(points, asked.dim, asked.plot)
        self._console.print(f"plotted in {asked.plot}")
        return [point.to_dict() for point in points]


def _memory(index: ExactIndex, resident: int, faces: int) -> dict[str, float]:
    """Bytes a face: counted, and by what the process grew; and their share of the vector's."""
    counted = counted_bytes(index) / faces
    vector = stored_bytes(index) / faces
    worst = max(counted, resident / faces)
    return {"counted": counted, "resident": resident / faces, "of_vector": worst / vector}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench search", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--faces", type=int, default=1_000_000, metavar="N", help="default: 1000000")
    add("--dim", type=int, default=128, metavar="D", help="components of a vector (default: 128)")
    add("--effective", type=float, metavar="E", help="dimensions filled (default: 3/8 of --dim)")
    add("--storage", choices=("auto", *STORAGES), default="auto", help="default: auto")
    add("--threads", type=int, default=0, metavar="T", help="default: one a core")
    add("--probes", type=int, default=1024, metavar="N", help="for recall (default: 1024)")
    add("--runs", type=int, default=5, metavar="N", help="rounds (default: 5)")
    add("--seconds", type=float, default=0.6, help="of a side in a round (default: 0.6)")
    add("--rate", type=int, default=5000, metavar="N", help="faces/s added meanwhile")
    add("--seed", type=int, default=0, metavar="N", help="other faces (default: 0)")
    add("--folder", metavar="DIR", help="where snapshots are tried (default: the system's)")
    add("--plot", type=Path, metavar="FILE", help="measure the growth too; PNG or SVG")
    add("--growth", type=int, default=5_000_000, metavar="N", help="up to (default: 5000000)")
    add("--json", type=Path, metavar="FILE", help="write all figures there")
    return parser
