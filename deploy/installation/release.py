"""A release: the project's files as they are installed, named by version and content."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.installation.errors import InstallError
from deploy.whole_file import write_file

RECORD = "release.json"
# Stands in a release's folder until it is complete.
UNFINISHED = ".unfinished"
_FOLDERS = ("scripts", "docs")
_ROOT_FILES = ("*.py", "*.md", "*.lock", "*.txt", "*.yml", "*.toml", "Makefile", "LICENSE*")
_DIGITS = 10


@dataclass(frozen=True)
class Record:
    """What a complete release knows of itself.

    name: its folder's. device, python: what its environment was made for. models: that were there
    when it was made. library, keys: the migrations that its databases have.
    """

    name: str
    device: str
    python: str
    models: tuple[str, ...]
    library: str
    keys: str


def files_of(project: Path) -> list[str]:
    """The files of a checkout, or of an unpacked release, that belong to one; relative, sorted."""
    folders = (*_packages(project), *_FOLDERS)
    found = {
        str(path.relative_to(project))
        for pattern in _ROOT_FILES
        for path in project.glob(pattern)
        if path.is_file()
    }
    for folder in folders:
        found.update(_below(project, folder))
    return sorted(found)


def name_of(project: Path, files: list[str] | None = None) -> str:
    """VERSION-DIGEST; the same for the same files. Raises InstallError for what is no project."""
    digest = hashlib.sha256()
    for name in files_of(project) if files is None else files:
        path = project / name
        mode = "x" if os.access(path, os.X_OK) else "-"
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{mode} {content} {name}\n".encode())
    return f"{_settings(project)['project']['version']}-{digest.hexdigest()[:_DIGITS]}"


def copy(project: Path, folder: Path) -> None:
    """Copy a project's files, readable by all and writable by their owner alone."""
    for name in files_of(project):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(project / name, target)
        target.chmod(0o755 if os.access(project / name, os.X_OK) else 0o644)


def read_record(folder: Path) -> Record | None:
    """What a release says of itself; None where it is not complete."""
    if (folder / UNFINISHED).exists():
        return None
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return Record(**{**content, "models": tuple(content["models"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_record(folder: Path, record: Record) -> None:
    """Make a release complete."""
    write_file(folder / RECORD, json.dumps(asdict(record), indent=1) + "\n", 0o644)
    (folder / UNFINISHED).unlink(missing_ok=True)


def _packages(project: Path) -> tuple[str, ...]:
    return tuple(_settings(project)["tool"]["importlinter"]["root_packages"])


def _settings(project: Path) -> dict[str, dict]:
    file = project / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InstallError(f"{file}: {error}") from None


def _below(project: Path, folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(project / folder):
        # Links are not followed, and are no part of it.
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            path = Path(parent) / name
            if path.is_file() and not path.is_symlink() and path.suffix not in (".pyc", ".pyo"):
                yield str(path.relative_to(project))
