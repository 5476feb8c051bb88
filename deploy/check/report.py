"""What a check says: a table with a conclusion, or JSON; and its exit status."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.check.finding import Outcome, counted

if TYPE_CHECKING:
    from rich.console import Console

READY, NOT_READY, WRONG_USAGE = 0, 1, 2
FORMAT = 1
_HEADINGS = ("item", "required", "found", "outcome")
_STYLES = {Outcome.FAIL: "red", Outcome.WARNING: "yellow", Outcome.NOT_APPLICABLE: "dim"}
_WIDTH = 100


@dataclass(frozen=True)
class Row:
    """An item of the report. item: its name in ``requirements.toml``; do: what to do, or ""."""

    item: str
    subject: str
    name: str
    required: str
    found: str
    outcome: Outcome
    do: str

    @property
    def group(self) -> str:
        """Of what it is a part: processor, disk, ..."""
        return self.item.partition(".")[0]

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.name}, {self.subject}" if self.subject else self.name

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What the table shows."""
        return self.title, self.required, self.found, self.outcome.value


@dataclass(frozen=True)
class Report:
    """What a check has come to. role: of the server: all, pipeline or gateway."""

    role: str
    rows: tuple[Row, ...]

    @property
    def status(self) -> int:
        """The exit status: 0, also with warnings; 1 with a failure."""
        return NOT_READY if self._of(Outcome.FAIL) else READY

    @property
    def counts(self) -> dict[str, int]:
        """How many items came to what."""
        counter = Counter(row.outcome for row in self.rows)
        return {outcome.value: counter[outcome] for outcome in Outcome}

    @property
    def conclusion(self) -> str:
        """In a sentence."""
        failures, warnings = self._of(Outcome.FAIL), self._of(Outcome.WARNING)
        passed = counted(self.counts[Outcome.PASS.value], "item")
        others = f"{passed} passed, {self.counts[Outcome.NOT_APPLICABLE.value]} not applicable"
        noted = counted(len(warnings), "warning") if warnings else "no warnings"
        if failures:
            return f"NOT READY: {counted(len(failures), 'failure')}, {noted}; {others}."
        return f"READY: no failures, {noted}; {others}."

    def document(self) -> dict[str, Any]:
        """JSON-ready."""
        items = [
            {
                "item": row.item, "subject": row.subject, "name": row.name,
                "required": row.required, "found": row.found, "outcome": row.outcome.value,
                "do": row.do,
            }
            for row in self.rows
        ]  # fmt: skip
        return {
            "format": FORMAT, "role": self.role, "status": self.status, "counts": self.counts,
            "conclusion": self.conclusion, "items": items,
        }  # fmt: skip

    def _of(self, outcome: Outcome) -> list[Row]:
        return [row for row in self.rows if row.outcome is outcome]

    def to_do(self) -> Iterator[tuple[Row, str]]:
        """Each failure, then each warning, with what to do about it."""
        for outcome in (Outcome.FAIL, Outcome.WARNING):
            for row in self._of(outcome):
                yield row, row.do


def show_json(report: Report) -> None:
    """Print it for programs."""
    print(json.dumps(report.document(), indent=1))


def show_plainly(report: Report) -> None:
    """Print it where there is nothing but Python."""
    print("\n".join(plain_lines(report)))


def show(report: Report, out: Console) -> None:
    """Print it as a table. out: a console without markup, as what was found may hold brackets."""
    # Late: a bare Python has no rich.
    from client.terminal.table import FittingTable

    table = FittingTable().words(*_HEADINGS[:3]).names(_HEADINGS[3])
    for number, row in enumerate(report.rows):
        if number and report.rows[number - 1].group != row.group:
            table.add_section()
        table.add_row(*row.cells, style=_STYLES.get(row.outcome, ""))
    out.print(table)
    for row, do in report.to_do():
        words = f"{row.outcome.value}: {row.group}, {row.title}: {row.found}"
        out.print(f"\n{words}", style=_STYLES[row.outcome])
        out.print(textwrap.indent(do, "  "), soft_wrap=True)
    out.print(f"\n{report.conclusion}", style="bold")


def plain_lines(report: Report) -> Iterator[str]:
    """The same without colours, in columns whose texts are folded."""
    widths = (26, 24, 34, 16)
    yield _columns(_HEADINGS, widths)
    for number, row in enumerate(report.rows):
        if not number or report.rows[number - 1].group != row.group:
            yield "-" * _WIDTH
        yield _columns(row.cells, widths)
    for row, do in report.to_do():
        yield ""
        words = f"{row.outcome.value}: {row.group}, {row.title}: {row.found}"
        yield textwrap.fill(words, _WIDTH, break_on_hyphens=False)
        yield textwrap.indent(do, "  ")
    yield ""
    yield report.conclusion


def _columns(cells: tuple[str, ...], widths: tuple[int, ...]) -> str:
    """One row, each cell folded in its column."""
    folded = [
        textwrap.wrap(cell, width - 1, break_on_hyphens=False) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(map(len, folded))
    lines = []
    for line in range(height):
        parts = [
            (cell[line] if line < len(cell) else "").ljust(width)
            for cell, width in zip(folded, widths, strict=True)
        ]
        lines.append("".join(parts).rstrip())
    return "\n".join(lines)
