"""``python -m bench NAME [options]``: runs one benchmark; without a name, lists them."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from terminal.command import run_command

# Benchmarks start processes while they have gRPC channels. Between fork and exec gRPC would start
# its poller anew, which then complains into the new process's output, and calls under way can hang.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
FOLDER = Path(__file__).resolve().parent


def available() -> dict[str, str]:
    """Names of the benchmarks, each with the first line of its module's docstring.

    The files are parsed and not imported: a list should not take as long as importing Paddle.
    """
    found = {}
    for file in sorted(FOLDER.glob("[!_]*.py")):
        module = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in module.body):
            found[file.stem] = (ast.get_docstring(module) or "").partition("\n")[0]
    return found


def listing(benchmarks: dict[str, str]) -> str:
    """A line for each benchmark, for a terminal."""
    width = max(map(len, benchmarks), default=0)
    return "\n".join(f"  {name:<{width}}  {line}" for name, line in benchmarks.items())


def main(argv: Sequence[str]) -> int:
    """Run the benchmark named by the first argument with the others; its exit status.

    Each ``bench/NAME.py`` has ``main(argv) -> int``; 0 means that what it is held to was kept.
    """
    benchmarks = available()
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: python -m bench NAME [options], NAME one of\n{listing(benchmarks)}")
        return 0 if argv else 2
    name, *options = argv
    if name not in benchmarks:
        print(f"bench: no benchmark {name!r}; there are\n{listing(benchmarks)}", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"bench.{name}").main(options))


if __name__ == "__main__":
    sys.exit(run_command(lambda: main(sys.argv[1:])))
