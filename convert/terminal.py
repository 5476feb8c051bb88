"""What ``python -m convert`` shows: messages, and the catalog as a table."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from convert.catalog import Catalog, Entry

# Errors and progress: standard error, so that standard output stays clean for tables.
# No markup: messages hold words in brackets that other programs wrote.
CONSOLE = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def print_models(catalog: Catalog, is_converted: Callable[[Entry], bool]) -> None:
    """Print every model of the catalog with its task, licence, accuracy and state."""
    table = Table(title="Models", caption="* part of the default set")
    table.add_column("name", no_wrap=True)
    for heading in ("task", "licence", "published accuracy", "converted"):
        table.add_column(heading)
    for entry in catalog.models.values():
        table.add_row(
            entry.name + (" *" if entry.default else ""),
            entry.task,
            entry.licence.name if entry.licence.commercial else f"[red]{entry.licence.name}[/]",
            entry.accuracy or "-",
            "yes" if is_converted(entry) else "-",
        )
    Console().print(table)
