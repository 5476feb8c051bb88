"""What a person sees: the table of faces and the summary of a run."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.markup import escape

from client.cli.load import Outcome, Summary
from client.pipeline.answer import Answer, FaceAnswer
from client.terminal.table import FittingTable

MAX_ROWS = 1000  # of faces and of failures; more are counted, not shown
SHOWN_VALUES = 3  # of an embedding


class FaceTable:
    """The table of faces and the list of failures, filled in the order of the pictures."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._failures: list[str] = []
        self._extras = False
        self._models: dict[str, str] = {}

    def add(self, outcome: Outcome) -> None:
        """A row a face, or one that says there is none; a line of its own for a failure."""
        name = escape(outcome.picture.name)
        if outcome.error is not None:
            self._failures.append(f"[red]{name}[/]: {escape(str(outcome.error))}")
        elif outcome.answer is not None:
            self._add_answer(name, outcome.answer)

    def _add_answer(self, name: str, answer: Answer) -> None:
        self._models.update(answer.models)
        if not answer.image.faces:
            self._rows.append((name, "[dim]none[/]", "", "", "", "", ""))
        for number, face in enumerate(answer.image.faces, 1):
            extras = _extras(face)
            self._extras = self._extras or bool(extras)
            box = " ".join(f"{value:.0f}" for value in face.box)
            points = "" if face.landmarks is None else str(len(face.landmarks))
            row = (name if number == 1 else "", str(number), box, f"{face.score:.2f}", points)
            self._rows.append((*row, escape(_embedding(face)), escape(extras)))

    def show(self, console: Console) -> None:
        """Prints the table, the models that made the answers, and the failures."""
        if self._rows:
            console.print(self._table())
            _note_rest(len(self._rows), "rows", console)
        if self._models:
            models = ", ".join(f"{stage} {name}" for stage, name in self._models.items())
            console.print(f"[dim]{escape(models)}[/]")
        for line in self._failures[:MAX_ROWS]:
            console.print(line)
        _note_rest(len(self._failures), "failures", console)

    def _table(self) -> FittingTable:
        table = FittingTable(keys=2).words("picture").figures("face").names("box (pixels)")
        table.figures("score", "points").words("embedding")
        if self._extras:
            table.words("attributes")
        width = table.width
        for row in self._rows[:MAX_ROWS]:
            table.add_row(*row[:width])
        return table


def _note_rest(count: int, what: str, console: Console) -> None:
    if count > MAX_ROWS:
        console.print(f"... and {count - MAX_ROWS} more {what} (--json has them all)")


def _embedding(face: FaceAnswer) -> str:
    """Dimension, length and first values, e.g. ``128-d |1.000| +0.02 -0.11 +0.05 ...``.

    Or why there is none.
    """
    vector = face.embedding
    if vector is None:
        return face.no_embedding or ""
    first = " ".join(f"{value:+.2f}" for value in vector[:SHOWN_VALUES])
    return f"{len(vector)}-d |{np.linalg.norm(vector):.3f}| {first} ..."


def _extras(face: FaceAnswer) -> str:
    """What else is known in words, e.g. ``age 31, female 0.98, happy 0.71, live 0.93``."""
    parts = []
    for name, value in face.attributes.items():
        if isinstance(value, dict) and "type" in value:
            sure = value.get("probability")
            number = f" {sure:.2f}" if isinstance(sure, (int, float)) else ""
            parts.append(f"{value['type']}{number}")
        elif isinstance(value, (int, float)):
            parts.append(f"{name} {value:.0f}")
        else:
            parts.append(f"{name} {value}")
    if face.liveness is not None:
        parts.append(f"live {face.liveness:.2f}")
    if face.angle is not None:
        parts += (f"{name} {value:.0f}" for name, value in vars(face.angle).items())
    if face.quality is not None:
        parts.append(f"blur {face.quality.blur:.2f}, light {face.quality.illumination:.0f}")
        if face.quality.completeness is not None:
            parts.append(f"complete {face.quality.completeness:.2f}")
    return ", ".join(parts)


def show_summary(summary: Summary, console: Console) -> None:
    """Prints the figures of a run: throughput, latency, and the errors by code."""
    table = FittingTable().names("").words("")
    done = f"{summary.answered} of {summary.planned} answered, {summary.faces} faces"
    table.add_row("requests", f"{done}, {summary.seconds:.2f} s")
    table.add_row("throughput", f"{summary.qps:.1f} answers/s")
    if summary.latencies:
        latency = (f"{name} {value:.1f}" for name, value in summary.latency_ms().items())
        table.add_row("latency", ", ".join(latency) + " ms")
    if summary.errors:
        counts = ", ".join(f"{code} x {count}" for code, count in summary.errors.most_common())
        table.add_row("errors", f"[red]{escape(counts)}[/]")
    if summary.interrupted:
        table.add_row("stopped", "by Ctrl-C")
    console.print(table)
