"""Speed of the converted models against onnxruntime: ``python -m bench models [NAME ...]``.

Each model in ``models/`` runs as the service runs it and, written back as ONNX, in onnxruntime,
with one thread each, at batch 1 and 8. The two take turns within one measurement, so that a
change of the machine's clock or load meets both. A network that cannot be written back is
timed against its original where ``--onnx NAME=FILE`` gives it, and alone otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from bench.frame import Bench, benchmark, seconds, several
from bench.models.turns import CLOCKS, medians
from terminal.options import PATH, Count, Number
from client.terminal.table import FittingTable

if TYPE_CHECKING:
    import onnxruntime

    from inference.predictor import Model

LIMIT = 1.15
"""Paddle's time over onnxruntime's that a model should keep to."""

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Median milliseconds of one run of a whole batch; None where there is nothing to compare.

    difference: the largest distance of any output between the two sides, over the largest value.
    """

    model: str
    batch: int
    paddle_ms: float
    onnxruntime_ms: float | None = None
    ratio: float | None = None
    difference: float | None = None
    note: str = ""


def _measure(folder: Path, asked: Any, original: Path | None) -> list[Timing]:
    from inference.predictor import Model

    model = Model.load(folder)
    session, note = _peer(model, original)
    largest = model.manifest.max_batch or max(asked.batch)
    clock = CLOCKS[asked.clock]
    return [
        _time(model, session, note, batch, asked.seconds, clock)
        for batch in asked.batch
        if batch <= largest
    ]


def _peer(model: Model, original: Path | None) -> tuple[onnxruntime.InferenceSession | None, str]:
    """A session of onnxruntime with the same network, or None and why there is none."""
    from bench.models.peer import as_onnx, session_of
    from convert.network.graph import GraphError

    try:
        network = original.read_bytes() if original else as_onnx(model.manifest)
    except GraphError as error:
        return None, str(error)
    return session_of(network), ""


def _time(
    model: Model,
    session: onnxruntime.InferenceSession | None,
    note: str,
    batch: int,
    seconds: float,
    clock: Callable[[], float],
) -> Timing:
    name, feeds = model.manifest.name, _feeds(model, batch)
    predictor = model.predictor()
    sides: dict[str, Run] = {"paddle": lambda: predictor.run(feeds)}
    if session is None:
        times = medians(sides, seconds, clock)
        return Timing(name, batch, times["paddle"], note=note)
    names = [item.name for item in session.get_inputs()]
    by_position = dict(zip(names, feeds.values()))
    sides["onnxruntime"] = lambda: session.run(None, by_position)
    try:
        difference = _difference(predictor.run(feeds), session.run(None, by_position))
    except Exception as error:  # noqa: BLE001 - an original may be fixed to one batch size
        times = medians({"paddle": sides["paddle"]}, seconds, clock)
        return Timing(name, batch, times["paddle"], note=f"onnxruntime: {type(error).__name__}")
    times = medians(sides, seconds, clock)
    ratio = times["paddle"] / times["onnxruntime"]
    return Timing(name, batch, times["paddle"], times["onnxruntime"], ratio, difference)


def _feeds(model: Model, batch: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        spec.alias: generator.random(
            (batch, *(n if n > 0 else 640 for n in spec.shape[1:]))
        ).astype(spec.dtype)
        for spec in model.manifest.inputs
    }


def _difference(ours: Mapping[str, np.ndarray], theirs: Sequence[np.ndarray]) -> float:
    """Outputs are paired by position and compared as flat arrays."""
    pairs = [(a.reshape(-1), b.reshape(-1)) for a, b in zip(ours.values(), theirs)]
    largest = max(float(np.abs(b).max()) for _, b in pairs)
    return max(float(np.abs(a - b).max()) for a, b in pairs) / max(largest, 1e-12)


def _table(timings: Sequence[Timing]) -> FittingTable:
    table = FittingTable("One thread, median of a batch").names("model")
    table.figures("batch", "Paddle ms", "onnxruntime ms", "ratio", "difference")
    for t in timings:
        if t.onnxruntime_ms is None or t.ratio is None or t.difference is None:
            table.add_row(t.model, str(t.batch), f"{t.paddle_ms:.2f}", "-", "-", t.note)
            continue
        table.add_row(
            t.model,
            str(t.batch),
            f"{t.paddle_ms:.2f}",
            f"{t.onnxruntime_ms:.2f}",
            f"{t.ratio:.2f}",
            f"{t.difference:.0e}",
        )
    return table


@benchmark(
    click.argument("names", nargs=-1, metavar="[NAME]..."),
    click.option("--models", type=PATH, default="models", metavar="DIR", help="Their folder."),
    several("--batch", type=Count(1), default=(1, 8), help="Sizes of a batch."),
    seconds(3.0, "For each model and batch."),
    click.option(
        "--clock",
        type=click.Choice(sorted(CLOCKS)),
        default="wall",
        help="cpu counts the thread's own time, for a machine that is busy otherwise.",
    ),
    click.option("--onnx", multiple=True, metavar="NAME=FILE", help="Originals; once for each."),
    click.option("--limit", type=Number(0), default=LIMIT, help="Times onnxruntime's time."),
)
def main(bench: Bench) -> None:
    """No model is slower than the limit."""
    asked = bench.asked
    # Both runtimes read it when they are imported.
    os.environ["OMP_NUM_THREADS"] = "1"
    folders = [file.parent for file in sorted(asked.models.glob("*/model.yml"))]
    chosen = [folder for folder in folders if not asked.names or folder.name in asked.names]
    missing = set(asked.names) - {folder.name for folder in chosen}
    if missing or not chosen:
        raise click.UsageError(
            f"There is no converted model {', '.join(sorted(missing)) or asked.models}."
        )
    originals = dict(item.split("=", 1) for item in asked.onnx)
    timings: list[Timing] = []
    with bench.status() as say:
        for folder in chosen:
            say(f"measuring {folder.name}")
            original = originals.get(folder.name)
            timings += _measure(folder, asked, Path(original) if original else None)
    bench.console.print(_table(timings))
    bench.results = {"models": [asdict(timing) for timing in timings]}
    for t in timings:
        if t.ratio is not None:
            words = f"{t.model} at batch {t.batch}, at most {asked.limit:g} times onnxruntime's"
            bench.expected[words] = t.ratio <= asked.limit
