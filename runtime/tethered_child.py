"""Processes of this project's modules that a benchmark starts, and that never outlive it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from runtime.process import child_environment

ROOT = Path(__file__).resolve().parent.parent
PIPE = subprocess.PIPE


def start_child(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> subprocess.Popen[str]:
    """``python -m ARGUMENTS``, which has to call `die_with_parent`; what it writes is text.

    environment: beside this process's own. stdin, stdout, stderr: `PIPE`, or as this process's.
    """
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**child_environment(), **(environment or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        text=True,
        # A Ctrl-C in the terminal is for the benchmark, which ends its children then.
        start_new_session=True,
    )


def end_child(process: subprocess.Popen[str]) -> None:
    """Kill it, wait until it is gone, and close its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def pipes_of(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Its standard input and output. Raises TypeError for a process without these pipes."""
    if process.stdin is None or process.stdout is None:
        raise TypeError("the process was started without pipes")
    return process.stdin, process.stdout
