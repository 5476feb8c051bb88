"""Checks of a model in a process of their own: what crashes there takes nothing else with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from convert.environment import ROOT, last_line


@dataclass(frozen=True)
class Ended:
    """How such a process ended.

    status: None where it was ended after its time. output: what it printed. problem: in words;
    empty for status 0.
    """

    status: int | None
    output: str
    problem: str


def run_apart(module: str, arguments: Sequence[str], seconds: float) -> Ended:
    """Run ``python -m module`` with arguments for so many seconds at most."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={**os.environ, "GLOG_minloglevel": "2"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        # Bytes whatever `text` is.
        said = (error.stdout or b"").decode(errors="replace")
        return Ended(None, said, f"its checks have not ended in {seconds} s")
    status, problem = process.returncode, ""
    if status < 0:
        problem = f"running it ended with {signal.Signals(-status).name}"
    elif status:
        problem = last_line(process.stderr)
    return Ended(status, process.stdout, problem)
