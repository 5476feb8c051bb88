"""``python -m convert``: brings models into ``models/``, ready for the service."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from client.terminal.command import INTERRUPTED, run_command
from convert.catalog import load_catalog
from convert.environment import ROOT
from convert.errors import ConvertError
from convert.run import Run
from convert.terminal import CONSOLE, print_models
from settings.licences import ANY, CHOICES, COMMERCIAL
from settings.yaml_file import YamlError, read_yaml
from terminal.options import PATH, SETTINGS, run_program


def main(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure, 130 for Ctrl-C."""
    return run_program(program, arguments, "python -m convert")


@click.command(context_settings=SETTINGS)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Every model of the catalog.")
@click.option("--default", "usual", is_flag=True, help="The models that the service starts with.")
@click.option("--list", "listed", is_flag=True, help="Show the catalog.")
@click.option("--source", type=PATH, help="A local tar, directory or file of the model.")
@click.option("--force", is_flag=True, help="Convert what is there, too.")
@click.option(
    "--licence",
    type=click.Choice(CHOICES),
    help="commercial: none whose weights may not be used commercially; default: what "
    "config.yml says.",
)
@click.option("--models-dir", type=PATH, metavar="DIR", default=ROOT / "models",
              show_default="models", help="Where the models go.")  # fmt: skip
def program(
    names: tuple[str, ...],
    every: bool,
    usual: bool,
    listed: bool,
    source: Path | None,
    force: bool,
    licence: str | None,
    models_dir: Path,
) -> int:
    """Fetch published face models, translate them to Paddle Serving's format and check them.

    A model that is there and intact is left alone.
    """
    if not (names or every or usual or listed):
        raise click.UsageError("Name a model, or give --all, --default or --list.")
    if source is not None and (len(names) != 1 or every or usual):
        raise click.UsageError("--source is for one model: NAME --source PATH.")
    # Paddle logs each predictor's passes otherwise.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        catalog = load_catalog()
        configured = configured_licence()
        run = Run(catalog, models_dir, force=force, licence=licence or configured)
        if listed:
            print_models(catalog, run.is_converted)
            return 0
        entries = [catalog.entry(name) for name in names]
        if usual:
            run.convert_default()
            if (licence, configured) == (COMMERCIAL, ANY):
                CONSOLE.print(
                    "Write licence: commercial into config.yml, too, for the service to keep to it"
                )
        if every:
            entries = run.allowed(list(catalog.models.values()))
        return 1 if run.convert_each(entries, source) else 0
    except (ConvertError, OSError) as error:
        CONSOLE.print(f"convert: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        CONSOLE.print("convert: interrupted; models that were there before are untouched")
        return INTERRUPTED


def configured_licence(settings: Path = ROOT / "config.yml") -> str:
    """What config.yml says; "any" where it says nothing or is not there.

    Raises ConvertError for what is neither.
    """
    try:
        content = read_yaml(settings)
    except FileNotFoundError:
        return ANY
    except YamlError as error:
        raise ConvertError(f"{settings}: {error}") from error
    licence = content.get("licence", ANY) if isinstance(content, dict) else ANY
    if licence not in CHOICES:
        raise ConvertError(f"{settings}: licence: {licence!r} should be {' or '.join(CHOICES)}")
    return str(licence)


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
