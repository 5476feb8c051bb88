"""What commands answer to ``--help``, all from one process, which imports only once.

Run as a program: it reads from standard input a JSON list of command lines, each as Python takes
them (``["-m", "tracer", "--help"]``), and writes a JSON list of ``[exit status, text]``.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def helps(lines: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Exit status and text of each command line."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.command_helps"],
        input=json.dumps(lines), cwd=ROOT, env={**os.environ, "COLUMNS": "200"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [(status, text) for status, text in json.loads(done.stdout)]


def _run(line: Sequence[str]) -> tuple[int, str]:
    written = io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
        try:
            if line[0] == "-m":
                sys.argv = list(line[1:])
                runpy.run_module(line[1], run_name="__main__", alter_sys=True)
            else:
                sys.argv = list(line)
                runpy.run_path(line[0], run_name="__main__")
        except SystemExit as ended:
            status = ended.code
        except Exception:  # noqa: BLE001 - whoever asked is told
            status = traceback.format_exc()
    if isinstance(status, str):
        written.write(status)
    return int(status) if isinstance(status, int) else int(status is not None), written.getvalue()


if __name__ == "__main__":
    out = sys.stdout
    json.dump([_run(line) for line in json.load(sys.stdin)], out)
