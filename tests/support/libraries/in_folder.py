"""Libraries for tests: on a database in a folder, with a made-up recogniser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inference.scores import Recogniser, Scores
from library.errors import IndexUnavailableError
from library.library import Hit, Library
from settings.library import LibraryConfig
from tests.support.libraries.faces import DIM, MODEL, vectors

RECOGNISER = Recogniser(MODEL, DIM, Scores(impostor_mean=0.0, threshold=0.5))
# Other processes' changes are seen after so long.
POLL_MS = 50


def library_config(folder: Path, **settings: Any) -> LibraryConfig:
    """Settings of a library in a folder; `index` as a dictionary of what differs."""
    index = {"poll_ms": POLL_MS, "storage": "float32", **settings.pop("index", {})}
    document = {"folder": folder, "database": "sqlite:///faces.db", **settings, "index": index}
    return LibraryConfig.model_validate(document)


def open_library(folder: Path, **settings: Any) -> Library:
    """A library in a folder."""
    return Library(library_config(folder, **settings), RECOGNISER)


def users(hits: list[Hit]) -> list[str]:
    """Who was found, best first."""
    return [hit.user for hit in hits]


def found_users(library: Library, seed: int, app: str = "shop") -> list[str]:
    """Who is found by the face of a seed, best first; nobody while the index is being filled."""
    try:
        return users(library.search(app, vectors(1, seed))[0])
    except IndexUnavailableError:
        return []


def snapshots(folder: Path) -> list[Path]:
    """The snapshots of a library in a folder with the usual settings."""
    kept = library_config(folder).snapshot_dir()
    return sorted(kept.glob("*.index")) if kept is not None else []
