"""Engines and precisions beside each other and onnxruntime: ``python -m bench engines [NAME ...]``.

Each model that ``config.yml`` names runs with Paddle in fp32 and bf16, with onnxruntime, and with
OpenVINO in fp32 and bf16, on one thread, at batch 1 and 8; then the whole chain does, from a
picture's base64 to its embedding. The sides take turns within one measurement, so that a change of
the machine's clock or load meets all. What a processor cannot do, or a model was not converted for,
is left out with the reason. ``difference`` is the largest distance of an output to Paddle's in
fp32, over the output's largest value, on the sample's face.

Held to: the way that the service takes by itself is not slower than onnxruntime.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from bench.frame import CONFIG, Bench, benchmark, seconds, several
from bench.models.turns import CLOCKS, medians
from client.terminal.table import FittingTable
from settings.config import load_config
from terminal.options import Count, Number

if TYPE_CHECKING:
    from inference.engines.base import Way
    from inference.predictor import Model

CHAIN = "the whole chain"
LIMIT = 1.0
"""Times onnxruntime's time that the chosen way may take."""


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of one run of a whole batch on a side; None where it cannot run.

    ratio: onnxruntime's time over it. difference: of the outputs to Paddle's in fp32.
    chosen: whether the service takes it by itself. note: why it cannot run.
    """

    model: str
    batch: int
    side: str
    ms: float | None = None
    ratio: float | None = None
    difference: float | None = None
    chosen: bool = False
    note: str = ""


class _Run:
    def __init__(self, bench: Bench, chosen: Mapping[str, Sequence[Path]]) -> None:
        self._asked, self._stages = bench.asked, chosen
        self._clock = CLOCKS[bench.asked.clock]
        self._models: dict[tuple[str, str], tuple[Model | None, str]] = {}

    def model(self, folder: Path) -> list[Timing]:
        """All sides of one model, at each batch."""
        from bench.engines import sides
        from convert.subject import Subject

        reference = Subject(folder)
        largest = reference.manifest.max_batch or max(self._asked.batch)
        auto = str(sides.chosen(folder))
        found = []
        for batch in sorted({min(batch, largest) for batch in self._asked.batch}):
            feeds = _feeds(reference, batch)
            expected = reference.predictor.run(feeds)
            runs: dict[str, Callable[[], object]] = {}
            notes: dict[str, str] = {}
            differences: dict[str, float] = {}
            for way in sides.ALL:
                model, notes[str(way)] = self._loaded(folder, way)
                if model is None:
                    continue
                predictor = model.predictor()
                differences[str(way)] = _difference(expected, predictor.run(feeds))
                runs[str(way)] = partial(predictor.run, feeds)
            found += self._timings(folder.name, batch, runs, notes, differences, auto)
        return found

    def chain(self) -> list[Timing]:
        """All sides of the chain; a side of which one model cannot run is left out."""
        from bench.engines import sides
        from bench.engines.chain import Chain, folders_of
        from bench.load.pictures import make_sets

        (pictures,) = make_sets(["vga"])
        folders = folders_of(self._stages)
        ways = {str(sides.chosen(one)) for of_stage in folders.values() for one in of_stage}
        auto = ways.pop() if len(ways) == 1 else ""
        found = []
        for batch in self._asked.batch:
            runs: dict[str, Callable[[], object]] = {}
            notes: dict[str, str] = {}
            results: dict[str, Any] = {}
            for way in sides.ALL:
                loaded = {
                    stage: [self._loaded(one, way) for one in of_stage]
                    for stage, of_stage in folders.items()
                }
                reasons = [why for each in loaded.values() for model, why in each if model is None]
                notes[str(way)] = reasons[0] if reasons else ""
                if reasons:
                    continue
                models = {
                    stage: [model for model, _ in each if model is not None]
                    for stage, each in loaded.items()
                }
                chain = Chain(models, batch)
                results[str(way)] = _embeddings(chain.run(pictures))
                runs[str(way)] = partial(chain.run, pictures)
            expected = results[str(sides.ALL[0])]
            differences = {side: _difference(expected, made) for side, made in results.items()}
            found += self._timings(CHAIN, batch, runs, notes, differences, auto)
        return found

    def _loaded(self, folder: Path, way: Way) -> tuple[Model | None, str]:
        from bench.engines import sides

        key = (str(folder), str(way))
        if key not in self._models:
            self._models[key] = sides.loaded(folder, way)
        return self._models[key]

    def _timings(
        self,
        model: str,
        batch: int,
        runs: Mapping[str, Callable[[], object]],
        notes: Mapping[str, str],
        differences: Mapping[str, float],
        auto: str,
    ) -> list[Timing]:
        from bench.engines.sides import PEER

        times = medians(runs, self._asked.seconds, self._clock)
        peer = times.get(str(PEER))
        return [
            Timing(model, batch, side, note=note)
            if side not in times
            else Timing(
                model,
                batch,
                side,
                times[side],
                None if peer is None else peer / times[side],
                differences[side],
                side == auto,
            )
            for side, note in notes.items()
        ]


def _feeds(subject: Any, batch: int) -> dict[str, np.ndarray]:
    """The sample's face, `batch` times, as the service cuts it for the model."""
    from convert import task_checks

    feeds: dict[str, np.ndarray]
    feeds, _ = subject.feeds([task_checks.sample_face()] * batch)
    return feeds


def _embeddings(requests: Sequence[Any]) -> dict[str, np.ndarray]:
    faces = [face for request in requests for _, face in request.faces()]
    if not faces or any(face.embedding is None for face in faces):
        raise RuntimeError("a face of the sample was not recognised")
    return {"embedding": np.stack([face.embedding for face in faces])}


def _difference(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
    """The largest distance of an output, over its largest value."""
    return max(
        float(np.abs(values.reshape(-1) - found[alias].reshape(-1)).max())
        / max(float(np.abs(values).max()), 1e-12)
        for alias, values in expected.items()
    )


def _table(timings: Sequence[Timing]) -> FittingTable:
    table = FittingTable("One thread, median of a batch").names("model")
    table.figures("batch").names("side").figures("ms", "onnxruntime / it", "difference")
    before = ("", 0)
    for t in timings:
        first = (t.model, t.batch) != before
        if first and before[1]:
            table.add_section()
        before = (t.model, t.batch)
        name, batch = (t.model, str(t.batch)) if first else ("", "")
        side = f"{t.side} *" if t.chosen else t.side
        if t.ms is None or t.difference is None:
            table.add_row(name, batch, side, "-", "-", "-")
            continue
        ratio = "-" if t.ratio is None else f"{t.ratio:.2f}"
        table.add_row(name, batch, side, f"{t.ms:.2f}", ratio, f"{t.difference:.0e}")
    return table


@benchmark(
    click.argument("names", nargs=-1, metavar="[NAME]..."),
    CONFIG,
    several("--batch", type=Count(1), default=(1, 8), help="Sizes of a batch."),
    seconds(4.0, "For each model and batch."),
    click.option(
        "--clock",
        type=click.Choice(sorted(CLOCKS)),
        default="wall",
        help="cpu counts the thread's own time, for a machine that is busy otherwise.",
    ),
    click.option("--no-chain", is_flag=True, help="Only the models, not the whole chain."),
    click.option("--limit", type=Number(0), default=LIMIT, help="Times onnxruntime's time."),
)
def main(bench: Bench) -> None:
    """No model is slower in the way that the service takes than the limit."""
    asked = bench.asked
    # The runtimes read it when they are imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    config = load_config(asked.config)
    stages = {name: config.chosen_models(name) for name in config.op if config.op[name].models}
    folders = {one.name: one for of_stage in stages.values() for one in of_stage}
    unknown = set(asked.names) - set(folders)
    if unknown:
        raise click.UsageError(f"{asked.config} names no model {', '.join(sorted(unknown))}.")
    run = _Run(bench, stages)
    timings: list[Timing] = []
    with bench.status() as say:
        for name in asked.names or folders:
            say(f"measuring {name}")
            timings += run.model(folders[name])
        if not asked.no_chain and not asked.names:
            say(f"measuring {CHAIN}")
            timings += run.chain()
    bench.console.print(_table(timings))
    bench.console.print("* what the service takes by itself")
    for words in dict.fromkeys(f"{t.model}, {t.side}: {t.note}" for t in timings if t.note):
        bench.console.print(words)
    bench.results = {"timings": [asdict(timing) for timing in timings]}
    for t in timings:
        if t.chosen and t.ratio is not None and t.model != CHAIN:
            words = f"{t.model} at batch {t.batch}, at most {asked.limit:g} times onnxruntime's"
            bench.expected[words] = 1 / t.ratio <= asked.limit
