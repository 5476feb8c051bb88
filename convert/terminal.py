"""What ``python -m convert`` shows: messages, and the catalog as a table."""

from __future__ import annotations

from collections.abc import Callable

from client.terminal.console import open_console
from client.terminal.table import FittingTable
from convert.catalog import Catalog, Entry

# Errors and progress: standard error, so that standard output stays clean for tables.
# No markup: messages hold words in brackets that other programs wrote.
CONSOLE = open_console(stderr=True, soft_wrap=True, markup=False)


def print_models(catalog: Catalog, is_converted: Callable[[Entry], bool]) -> None:
    """Print every model of the catalog with its task, licence, accuracy and state."""
    table = FittingTable("Models", "* part of the default set").names("name")
    table.words("task", "licence", "published accuracy", "converted")
    for entry in catalog.models.values():
        table.add_row(
            entry.name + (" *" if entry.default else ""),
            entry.task,
            entry.licence.name if entry.licence.commercial else f"[red]{entry.licence.name}[/]",
            entry.accuracy or "-",
            "yes" if is_converted(entry) else "-",
        )
    open_console(highlight=True).print(table)
