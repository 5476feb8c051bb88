"""Environments for a Python older than the service's, made once and on demand, for tests."""

from __future__ import annotations

import subprocess

import pytest

from convert.environment import ROOT, environment_python
from convert.errors import UnreachableError


def older_python(name: str, *versions: str) -> str:
    """The interpreter of ``.venv-NAME``, with what ``requirements-NAME.lock`` says.

    versions: of Python, the first that is on this machine. Skips where there is none, or where the
    packages cannot be had.
    """
    find = [ROOT / "scripts" / "find-python", *versions]
    if subprocess.run(find, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip(f"no Python {' or '.join(versions)} on this machine")
    directory, lock = ROOT / f".venv-{name}", ROOT / f"requirements-{name}.lock"
    try:
        purpose = f"{name}, an environment for tests,"
        return str(environment_python(directory, lock, purpose, versions))
    except UnreachableError as error:
        pytest.skip(str(error))
