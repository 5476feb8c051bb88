"""``python -m deploy sbom``: what is installed here, and under which licences."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from client.terminal.console import open_console
from client.terminal.table import FittingTable
from deploy.errors import DeployError
from deploy.sbom.component import Component
from deploy.sbom.document import installed, of_components, written
from inference.manifest import ManifestError
from settings.config import load_config
from terminal.options import PATH, at_most_one, config_option

_PROGRAM = Path(__file__).resolve().parents[2]
_KINDS = {"machine-learning-model": "model", "library": "package", "file": "file"}


@click.command(short_help="What is installed here, and under which licences.")
@config_option
@click.option("--system", is_flag=True, help="Also the system's own packages (Debian's).")
@click.option("--licences", is_flag=True, help="A table for people.")
@click.option("--out", type=PATH, metavar="FILE", help="Write it there.")
def sbom(config: Path, system: bool, licences: bool, out: Path | None) -> int:
    """Write a bill of materials in CycloneDX's format: packages, models, licences, hashes."""
    at_most_one("licences", "out")
    models_dir = load_config(config).model_dir("")
    try:
        found = installed(_PROGRAM, models_dir, Path("/") if system else None)
    except ManifestError as error:
        raise DeployError(str(error)) from None
    if licences:
        _print_table(found)
        return 0
    text = written(of_components(_PROGRAM, found))
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeployError(f"{out}: {error.strerror}") from None
    return 0


def _print_table(found: list[Component]) -> None:
    table = FittingTable("Installed").names("part", "version", "kind").words("licence")
    for one in found:
        table.add_row(one.name, one.version, _KINDS[one.kind], one.licence)
    open_console().print(table)
