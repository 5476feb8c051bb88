"""Tables of which nothing is cut, however narrow the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2  # spaces between two columns
_LEAST_FOLDED = 16  # a column of words is made no narrower than this, as long as its words are


@dataclass(frozen=True)
class _Column:
    heading: str
    right: bool
    words: bool


@dataclass(frozen=True)
class _Row:
    cells: tuple[str, ...]
    style: str


class FittingTable:
    """A table that is shown whole: no heading, name or figure of it is ever shortened.

    Columns of words are folded where they have to be. What is too wide even so is shown as several
    tables one below the other, each with the first columns again; and where one column beside them
    is too wide, each row as lines of its own. Cells may hold rich's markup, if the console has it.
    """

    def __init__(self, title: str = "", caption: str = "", keys: int = 1) -> None:
        """keys: how many of the first columns say what a row is about."""
        self.title = title
        self.caption = caption
        self._keys = keys
        self._columns: list[_Column] = []
        self._rows: list[_Row] = []
        self._sections: set[int] = set()

    def names(self, *headings: str) -> FittingTable:
        """Columns of names, which stay in one line; the table itself, to go on with."""
        self._columns += [_Column(heading, False, False) for heading in headings]
        return self

    def figures(self, *headings: str) -> FittingTable:
        """Columns of figures: to the right, in one line."""
        self._columns += [_Column(heading, True, False) for heading in headings]
        return self

    def words(self, *headings: str) -> FittingTable:
        """Columns of words, which may take several lines."""
        self._columns += [_Column(heading, False, True) for heading in headings]
        return self

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self._columns)

    def add_row(self, *cells: str, style: str = "") -> None:
        """A row; cells that are left out at its end are empty. style: of the whole row."""
        if len(cells) > len(self._columns):
            raise ValueError(f"{len(cells)} cells for {len(self._columns)} columns")
        empty = ("",) * (len(self._columns) - len(cells))
        self._rows.append(_Row((*cells, *empty), style))

    def add_section(self) -> None:
        """A line below the last row."""
        self._sections.add(len(self._rows) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Title, table or tables, caption."""
        width = options.max_width
        cells = [[_text(console, cell) for cell in row.cells] for row in self._rows]
        needs = [_need(column, _nth(cells, n)) for n, column in enumerate(self._columns)]
        if self.title:
            yield _text(console, self.title, "bold")
        bands = _bands([need.least for need in needs], self._keys, width)
        if bands is None:
            yield from self._records(cells)
        else:
            for number, band in enumerate(bands):
                if number:
                    yield Text("")
                yield self._table(band, cells, _widths([needs[n] for n in band], width))
        if self.caption:
            yield _text(console, self.caption, "dim")

    def _table(
        self, band: Sequence[int], cells: Sequence[Sequence[Text]], widths: Sequence[int]
    ) -> Table:
        table = Table(
            box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0),
            header_style="bold", show_header=any(column.heading for column in self._columns),
        )  # fmt: skip
        for n, width in zip(band, widths):
            column = self._columns[n]
            justify: Literal["left", "right"] = "right" if column.right else "left"
            table.add_column(
                Text(column.heading), width=max(width, 1), justify=justify, overflow="fold",
                vertical="top",
            )  # fmt: skip
        for number, row in enumerate(cells):
            table.add_row(
                *(row[n] for n in band),
                style=self._rows[number].style,
                end_section=number in self._sections,
            )
        return table

    def _records(self, cells: Sequence[Sequence[Text]]) -> Iterator[Text]:
        """Each row as lines of `heading: cell`."""
        for number, row in enumerate(cells):
            for column, cell in zip(self._columns, row):
                if cell.plain:
                    heading = f"{column.heading}: " if column.heading else ""
                    line = Text.assemble((heading, "bold"), cell, style=self._rows[number].style)
                    line.overflow, line.no_wrap = "fold", False
                    yield line
            yield Text("")


@dataclass(frozen=True)
class _Need:
    """Characters that a column needs at least, and that it has use for."""

    least: int
    most: int


def _need(column: _Column, cells: Sequence[Text]) -> _Need:
    heading = max(map(cell_len, column.heading.split()), default=0)
    widest = max((cell.cell_len for text in cells for cell in text.split("\n")), default=0)
    if not column.words:
        return _Need(max(heading, widest), max(cell_len(column.heading), widest))
    return _Need(max(heading, min(widest, _LEAST_FOLDED)), max(cell_len(column.heading), widest))


def _bands(needs: Sequence[int], keys: int, width: int) -> list[list[int]] | None:
    """The columns of each table; None where a column does not fit beside the first ones."""
    first = list(range(min(keys, len(needs))))
    bands, band = [], list(first)
    for n in range(len(first), len(needs)):
        if _total([needs[i] for i in (*band, n)]) > width and len(band) > len(first):
            bands.append(band)
            band = list(first)
        band.append(n)
    bands.append(band)
    fits = all(_total([needs[n] for n in band]) <= width for band in bands)
    return bands if fits else None


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _widths(needs: Sequence[_Need], width: int) -> list[int]:
    """Each column's least; what is left goes to those that have use for it, narrow ones first."""
    widths = [need.least for need in needs]
    left = width - _total(widths)
    while left > 0:
        wanting = [n for n, need in enumerate(needs) if widths[n] < need.most]
        if not wanting:
            break
        widths[min(wanting, key=widths.__getitem__)] += 1
        left -= 1
    return widths


def _nth(rows: Sequence[Sequence[Text]], n: int) -> list[Text]:
    return [row[n] for row in rows]


def _text(console: Console, cell: str, style: str = "") -> Text:
    return console.render_str(cell, style=style, highlight=False)
