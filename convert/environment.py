"""Python environments of their own for tools whose pins are not the service's."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from convert.errors import UnreachableError
from convert.terminal import CONSOLE

ROOT = Path(__file__).resolve().parent.parent
_COMPLETE = "complete"  # marker file; holds the digest of the lock that was installed


def environment_python(directory: Path, lock_file: Path, purpose: str) -> Path:
    """The interpreter of the environment ``directory``, made from ``lock_file`` where needed.

    lock_file: exact versions with hashes, as ``pip install --require-hashes`` reads them.
    purpose: what is being set up, for messages.

    Raises UnreachableError where it cannot be made; what was begun is made anew the next time.
    """
    with lock_file.open("rb") as file:
        # Two processes that need it at a time: one makes it, the other waits.
        fcntl.flock(file, fcntl.LOCK_EX)
        return _made(directory, lock_file, purpose)


def _made(directory: Path, lock_file: Path, purpose: str) -> Path:
    python = directory / "bin" / "python"
    marker = directory / _COMPLETE
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    if python.exists() and marker.is_file() and marker.read_text() == digest:
        return python
    shutil.rmtree(directory, ignore_errors=True)
    CONSOLE.print(f"Setting up {purpose} in {os.path.relpath(directory)} (once)")
    _run([sys.executable, "-m", "venv", str(directory)], purpose)
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if not CONSOLE.is_terminal:
        install.append("--quiet")
    _run([*install, "--no-deps", "--require-hashes", "-r", str(lock_file)], purpose)
    marker.write_text(digest)
    return python


def _run(command: Sequence[str], purpose: str) -> None:
    # To this process's standard error: pip writes its progress bars to standard output.
    process = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    if process.returncode != 0:
        raise UnreachableError(f"{purpose} cannot be set up: {last_line(process.stderr)}")


def last_line(output: str) -> str:
    """The last line of a program's error output that says what went wrong, for a message.

    That is one such as ``ERROR: ...`` (pip) or ``InvalidArgumentError: ...`` (Python, Paddle), else
    the very last one.
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*error: ", line, re.IGNORECASE)]
    return (errors or lines or ["no message"])[-1]
