"""What commands print: whole at 80 columns and into a pipe, and no complaint when it is cut off."""

from __future__ import annotations

import ast
import inspect
import io
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from client.terminal.command import READER_GONE
from client.terminal.console import PIPED_WIDTH, open_console
from client.terminal.table import FittingTable
from tests.support import terminal_tables
from tests.support.service import ROOT

PACKAGES = ("bench", "client", "convert", "deploy", "gateway", "library", "ops", "tracer")
OURS = ROOT / "client" / "terminal" / "table.py"
WIDTHS = (80, PIPED_WIDTH)


def printed(thing, width: int, **settings) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, **settings).print(thing)
    return out.getvalue()


def test_there_is_one_kind_of_table():
    """Rich's own shortens what does not fit, so it is used in one place only."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert node.module != "rich.table" or file == OURS, file


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", terminal_tables.SHOWN)
def test_no_heading_and_no_figure_of_a_table_is_cut(name, width, tmp_path, monkeypatch):
    out = io.StringIO()
    show = terminal_tables.SHOWN[name]
    more = {"folder": tmp_path, "monkeypatch": monkeypatch}
    asked = {one: more[one] for one in inspect.signature(show).parameters if one in more}
    wanted = show(Console(file=out, width=width, highlight=False), **asked)
    said = out.getvalue()
    assert "…" not in said
    assert all(len(line.rstrip()) <= width for line in said.splitlines())
    for words in wanted:  # a heading may take two lines
        assert all(word in said for word in words.split()), words


TEXTS = st.text("ab1,. é世", max_size=30)
CELLS = st.lists(TEXTS, min_size=1, max_size=6)


@st.composite
def tables(draw):
    """A table and its cells, columns of every kind."""
    table = FittingTable(draw(TEXTS), draw(TEXTS), keys=draw(st.integers(1, 2)))
    headings = draw(CELLS)
    for heading in headings:
        getattr(table, draw(st.sampled_from(["names", "figures", "words"])))(heading)
    rows = [
        [draw(TEXTS.filter(str.strip)) for _ in headings] for _ in range(draw(st.integers(1, 3)))
    ]
    for row in rows:
        table.add_row(*row)
    return table, [*headings, *(cell for row in rows for cell in row)]


@given(tables(), st.integers(4, 120))
def test_every_character_of_a_table_is_shown_at_any_width(made, width):
    table, cells = made
    shown = Counter(printed(table, width, markup=False))
    wanted = Counter("".join(cells))
    del wanted[" "]
    assert not wanted - shown
    assert "…" not in shown


def test_a_wide_table_becomes_several_with_the_first_column_in_each():
    table = FittingTable().names("side").figures(*(f"figure {n}" for n in range(6)))
    table.add_row("HTTP", *["1,234,567.89"] * 6)
    said = printed(table, 60)
    assert said.count("side") == said.count("HTTP") == 2
    assert said.count("1,234,567.89") == 6


def test_words_are_folded_before_anything_else_happens():
    table = FittingTable().names("name").words("reason").figures("figure")
    table.add_row("x", "many words " * 20, "12.5")
    said = printed(table, 60)
    assert said.count("name") == 1
    assert len(said.splitlines()) > 3
    assert "12.5" in said.splitlines()[2]


def test_a_table_of_one_row_too_wide_for_the_terminal_is_lines():
    table = FittingTable().names("name").figures("figure")
    table.add_row("a" * 30, "1" * 20)
    assert printed(table, 40).splitlines()[:2] == ["name: " + "a" * 30, "figure: " + "1" * 20]


def test_a_row_has_no_more_cells_than_there_are_columns():
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        FittingTable().names("one").add_row("a", "b")


def test_a_pipe_is_wide_and_columns_says_otherwise(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert open_console().width == PIPED_WIDTH
    monkeypatch.setenv("COLUMNS", "70")
    assert open_console().width == 70


COMMANDS = {
    "bench": ["bench"],
    "convert": ["convert", "--list"],
    "tracer": ["tracer", "{trace}"],
    "tracer --json": ["tracer", "--json", "{trace}"],
    "library --help": ["library", "--help"],
    "gateway keys list": ["gateway", "--config", "{config}", "keys", "list"],
    "client": ["client.demo", "--help"],
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What the commands read."""
    folder = tmp_path_factory.mktemp("piped")
    config = folder / "config.yml"
    config.write_text((ROOT / "config.yml").read_text())
    return {"trace": str(terminal_tables.trace(folder)), "config": str(config)}


def into_a_closed_pipe(command: list[str], cwd: Path) -> tuple[int, str]:
    """Status and complaints of a command whose reader has gone before it says anything."""
    # Without buffers argparse itself meets the closed pipe, of which it says nothing from 3.12 on.
    environment = {name: it for name, it in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=cwd, stdout=writing, stderr=subprocess.PIPE,
            text=True, timeout=170, check=False, env=environment,
        )  # fmt: skip
    finally:
        os.close(writing)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_whose_reader_has_gone_ends_without_a_word(name, places):
    command = [part.format_map(places) for part in COMMANDS[name]]
    assert into_a_closed_pipe(command, ROOT) == (READER_GONE, "")
