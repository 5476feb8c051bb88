"""``python -m library export``: every face as a line of JSON, and the stored pictures."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from library.commands import options
from library.commands.safe_files import whole_file
from library.commands.session import DONE, CommandError, Session
from library.records import ExportedFace
from terminal.options import PATH

LINES = "faces.jsonl"
CROPS = "crops"


@click.command("export", short_help="Write all faces as lines of JSON.")
@click.argument("target", type=PATH, metavar="DIR|FILE")
@options.APP
@options.with_session
def run(session: Session, target: Path, app: str) -> int:
    """Write all faces as lines of JSON.

    A directory gets faces.jsonl and the stored pictures; - is standard output.
    """
    to_directory = target.is_dir() or (not target.suffix and str(target) != "-")
    lines = target / LINES if to_directory else target
    count = pictures = 0
    try:
        with session.store() as store, _opened(lines) as out, session.bar("faces") as advance:
            total = store.statistics(app).entries
            for face in store.export(app, crops=to_directory):
                crop = _write_crop(target, face) if face.crop is not None else None
                pictures += crop is not None
                out.write(json.dumps(_line(face, crop), ensure_ascii=False) + "\n")
                count += 1
                advance(count, max(count, total))
    except OSError as error:
        raise CommandError(f"{error.filename or lines}: {error.strerror}") from None
    if str(target) != "-":
        kept = f" and {pictures} pictures" if to_directory else ""
        session.out.print(f"{count} faces{kept} of app {app} written to {target}")
    return DONE


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    """A file that appears when it is complete; readable by its owner only; - is standard output."""
    if str(path) == "-":
        yield sys.stdout
        return
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", write_through=True)
        yield text
        text.detach()


def _write_crop(directory: Path, face: ExportedFace) -> str:
    """Write a face's picture; its name below the directory. Copies of a user share it."""
    name = Path(CROPS, f"{face.face.token}.png")
    with whole_file(directory / name, synced=False) as file:
        file.write(face.crop or b"")
    return name.as_posix()


def _line(face: ExportedFace, crop: str | None) -> dict[str, Any]:
    """embedding: base64 of little-endian float32, as the service takes and gives it."""
    line: dict[str, Any] = {
        "group": face.group,
        "user": face.user,
        "info": face.info,
        "token": face.face.token,
        "model": face.face.model,
        "embedding": base64.b64encode(face.face.embedding.astype("<f4").tobytes()).decode("ascii"),
        "quality": face.face.quality,
        "metadata": face.face.metadata,
        "created": face.face.created.isoformat(timespec="milliseconds"),
    }
    if crop is not None:
        line["crop"] = crop
    return line
