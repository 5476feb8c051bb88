"""``python -m convert``: brings models into ``models/``, ready for the service."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from convert.catalog import Catalog, load_catalog
from convert.environment import ROOT
from convert.errors import ConvertError
from convert.run import Run
from convert.terminal import CONSOLE, print_models
from terminal.command import run_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 1 for a failure, 130 for Ctrl-C."""
    # Paddle logs each predictor's passes otherwise.
    os.environ.setdefault("GLOG_minloglevel", "2")
    parser = _parser()
    options = parser.parse_args(arguments)
    if not (options.names or options.all or options.default or options.list):
        parser.error("name a model, or give --all, --default or --list")
    if options.source is not None and (len(options.names) != 1 or options.all or options.default):
        parser.error("--source is for one model: python -m convert NAME --source PATH")
    try:
        return _run(load_catalog(), options)
    except (ConvertError, OSError) as error:
        CONSOLE.print(f"convert: {error}", style="red")
        return 1
    except KeyboardInterrupt:
        CONSOLE.print("convert: interrupted; models that were there before are untouched")
        return 130


def _run(catalog: Catalog, options: argparse.Namespace) -> int:
    run = Run(catalog, options.models_dir, force=options.force)
    if options.list:
        print_models(catalog, run.is_converted)
        return 0
    entries = [catalog.entry(name) for name in options.names]
    if options.default:
        run.convert_default()
    if options.all:
        entries = list(catalog.models.values())
    failed = run.convert_each(entries, options.source)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m convert",
        description="Fetch published face models, translate them to Paddle Serving's format "
        "and check them. A model that is there and intact is left alone.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a model of --list")
    parser.add_argument("--all", action="store_true", help="every model of the catalog")
    parser.add_argument(
        "--default", action="store_true", help="the models that the service starts with"
    )
    parser.add_argument("--list", action="store_true", help="show the catalog")
    parser.add_argument(
        "--source", type=Path, metavar="PATH", help="a local tar, directory or file of the model"
    )
    parser.add_argument("--force", action="store_true", help="convert what is there, too")
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=ROOT / "models",
        metavar="DIR",
        help="where the models go (default: models)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(run_command(main))
