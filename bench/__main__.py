"""``python -m bench NAME [options]``: runs one benchmark; without a name, lists them."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import click

from client.terminal.command import run_command

# Benchmarks start processes while they have gRPC channels. Between fork and exec gRPC would start
# its poller anew, which then complains into the new process's output, and calls under way can hang.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
FOLDER = Path(__file__).resolve().parent


def available() -> dict[str, str]:
    """Names of the benchmarks, each with the first line of its module's docstring.

    The files are parsed and not imported: a list should not take as long as importing Paddle.
    """
    found = {}
    for file in (*FOLDER.glob("[!_]*.py"), *FOLDER.glob("*/*_bench.py")):
        module = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in module.body):
            found[_name(file)] = (ast.get_docstring(module) or "").partition(": ``")[0] + "."
    return dict(sorted(found.items()))


def listing(benchmarks: dict[str, str]) -> str:
    """Usage, and a line or two for each benchmark, for a terminal."""
    formatter = click.HelpFormatter(max_width=80)
    formatter.write_usage("python -m bench", "NAME [OPTIONS]")
    with formatter.section("Benchmarks"):
        formatter.write_dl(list(benchmarks.items()))
    return formatter.getvalue().rstrip()


def _name(file: Path) -> str:
    return file.stem if file.parent == FOLDER else file.parent.name


def load(name: str) -> ModuleType:
    """The module of a benchmark."""
    whole = (FOLDER / f"{name}.py").is_file()
    return importlib.import_module(f"bench.{name}" if whole else f"bench.{name}.{name}_bench")


def main(argv: Sequence[str]) -> int:
    """Run the benchmark named by the first argument with the others; its exit status.

    Each ``bench/NAME.py`` or ``bench/NAME/NAME_bench.py`` has a `main` made by `frame.benchmark`.
    """
    benchmarks = available()
    if not argv or argv[0] in ("-h", "--help"):
        print(listing(benchmarks))
        return 0 if argv else 2
    name, *options = argv
    if name not in benchmarks:
        print(f"{listing(benchmarks)}\n\nError: no benchmark {name!r}.", file=sys.stderr)
        return 2
    return int(load(name).main(options))


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
