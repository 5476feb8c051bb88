"""``models/``: which models are there and intact, and how a new one takes an old one's place."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from convert.catalog import Entry
from convert.errors import BusyError
from convert.serving import CLIENT_DIR, MODEL_FILE, PARAMS_FILE, SERVER_DIR
from convert.translation import Translation, Variable
from settings.yaml_file import read_yaml

FORMAT = 1
MANIFEST = "model.yml"
_WORK_PREFIX = ".converting-"
_PREVIOUS_PREFIX = ".previous-"
_LOCK = ".convert.lock"


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(
    model_dir: Path, entry: Entry, translation: Translation, source: str, converter: str
) -> None:
    """Write ``model_dir/model.yml`` for a model whose serving format is already there.

    source: where the weights come from; converter: what wrote the Paddle model.
    """
    server_dir = model_dir / SERVER_DIR
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": entry.name,
        "task": entry.task,
        "family": entry.family,
        "licence": entry.licence.name,
        "commercial": entry.licence.commercial,
        "source": source,
        "converter": converter,
        "max_batch": entry.max_batch,
        "inputs": [_as_mapping(variable) for variable in translation.inputs],
        "outputs": [_as_mapping(variable) for variable in translation.outputs],
    }
    if entry.embedding is not None:
        manifest["embedding"] = entry.embedding.model_dump(exclude_none=True)
    manifest["options"] = dict(entry.options)
    manifest["files"] = {name: file_sha256(server_dir / name) for name in (MODEL_FILE, PARAMS_FILE)}
    text = yaml.safe_dump(manifest, sort_keys=False, default_flow_style=None, width=100)
    (model_dir / MANIFEST).write_text(text, encoding="utf-8")


def is_intact(model_dir: Path, entry: Entry) -> bool:
    """Whether ``model_dir`` holds the model of ``entry``, complete, unaltered and up to date.

    Up to date: its manifest says what the catalog says now. Needs no Paddle.
    """
    return _holds(model_dir, entry, _agrees)


def is_usable(model_dir: Path, entry: Entry) -> bool:
    """The same but for being up to date: the service can run it as it is."""
    return _holds(model_dir, entry, _is_of)


def is_up_to_date(model_dir: Path, entry: Entry) -> bool:
    """Whether the manifest of a usable model says what the catalog says now."""
    try:
        return _agrees(read_yaml(model_dir / MANIFEST), entry)
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _holds(model_dir: Path, entry: Entry, fits: Callable[[Any, Entry], bool]) -> bool:
    try:
        manifest = read_yaml(model_dir / MANIFEST)
        if not fits(manifest, entry):
            return False
        files = dict(manifest["files"])
        if set(files) != {MODEL_FILE, PARAMS_FILE}:
            return False
        configurations = [
            model_dir / directory / f"serving_{side}_conf{kind}.prototxt"
            for directory, side in ((SERVER_DIR, "server"), (CLIENT_DIR, "client"))
            for kind in ("", ".stream")
        ]
        return all(path.is_file() for path in configurations) and all(
            file_sha256(model_dir / SERVER_DIR / name) == digest for name, digest in files.items()
        )
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _is_of(manifest: Any, entry: Entry) -> bool:
    """Whether a manifest is of this model, in the form that there is now."""
    expected = {
        "format": FORMAT,
        "name": entry.name,
        "task": entry.task,
        "family": entry.family,
    }
    return all(manifest.get(key) == value for key, value in expected.items())


def _agrees(manifest: Any, entry: Entry) -> bool:
    expected = {
        "licence": entry.licence.name,
        "max_batch": entry.max_batch,
        "options": dict(entry.options),
    }
    if entry.embedding is not None:
        expected["embedding"] = entry.embedding.model_dump(exclude_none=True)
    if not all(manifest.get(key) == value for key, value in expected.items()):
        return False
    if not _is_of(manifest, entry):
        return False
    aliases = [output["alias"] for output in manifest["outputs"]]
    return not entry.outputs or aliases == [name.replace("/", "_") for name in entry.outputs]


def _as_mapping(variable: Variable) -> dict[str, Any]:
    return {**asdict(variable), "shape": list(variable.shape)}


@contextlib.contextmanager
def locked(models_dir: Path) -> Iterator[None]:
    """Keep other conversions out of ``models_dir``, and clear up after an interrupted one.

    Raises BusyError at once where another conversion is at work.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    with (models_dir / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise BusyError(
                f"another conversion (process {lock.read().strip() or 'unknown'}) works in "
                f"{models_dir}; run this again when it has ended"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _clear_up(models_dir)
        yield


def _clear_up(models_dir: Path) -> None:
    for stale in models_dir.glob(f"{_WORK_PREFIX}*"):
        shutil.rmtree(stale, ignore_errors=True)
    for previous in models_dir.glob(f"{_PREVIOUS_PREFIX}*"):
        current = models_dir / previous.name[len(_PREVIOUS_PREFIX) :]
        if current.exists():
            shutil.rmtree(previous, ignore_errors=True)
        else:  # ended between the two renames of put_in_place
            previous.rename(current)


@contextlib.contextmanager
def work_directory(models_dir: Path, name: str) -> Iterator[Path]:
    """A directory beside the models for one conversion; gone afterwards, whatever happens."""
    work_dir = Path(tempfile.mkdtemp(prefix=f"{_WORK_PREFIX}{name}-", dir=models_dir))
    try:
        yield work_dir
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def put_in_place(new_dir: Path, model_dir: Path) -> None:
    """Let ``new_dir`` become ``model_dir``; what was there goes only when the new one stands."""
    previous = model_dir.with_name(f"{_PREVIOUS_PREFIX}{model_dir.name}")
    shutil.rmtree(previous, ignore_errors=True)
    if model_dir.exists():
        model_dir.rename(previous)
    try:
        new_dir.rename(model_dir)
    except OSError:
        if previous.exists():
            previous.rename(model_dir)
        raise
    shutil.rmtree(previous, ignore_errors=True)
