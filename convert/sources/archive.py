"""Unpacks tar and zip archives that strangers made."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from convert.errors import ConvertError

# What an archive may unpack to; the largest known model has 250 MB.
MAX_UNPACKED = 2_000_000_000


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a file that :func:`extract` can read."""
    return path.is_file() and (tarfile.is_tarfile(path) or zipfile.is_zipfile(path))


def extract(archive: Path, out_dir: Path, wanted: Callable[[PurePosixPath], bool]) -> list[Path]:
    """Unpack the regular files that ``wanted`` accepts, below ``out_dir`` with their own paths.

    Raises ConvertError, and writes nothing, where any member has an absolute path, a ``..`` or is
    a link or device, where the members are too large together, or the archive is damaged.
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return _extract_zip(opened, archive, out_dir, wanted)
        with tarfile.open(archive) as opened_tar:
            return _extract_tar(opened_tar, archive, out_dir, wanted)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise ConvertError(f"{archive} cannot be unpacked: {error}") from error


def _extract_tar(
    opened: tarfile.TarFile,
    archive: Path,
    out_dir: Path,
    wanted: Callable[[PurePosixPath], bool],
) -> list[Path]:
    members = opened.getmembers()
    for member in members:
        _check_path(archive, member.name)
        if not (member.isfile() or member.isdir()):
            raise ConvertError(f"{archive} is refused: {member.name} is a link or a device")
    chosen = [m for m in members if m.isfile() and wanted(PurePosixPath(m.name))]
    _check_size(archive, sum(member.size for member in chosen))
    return list(_write_tar_members(opened, chosen, out_dir))


def _write_tar_members(
    opened: tarfile.TarFile, members: list[tarfile.TarInfo], out_dir: Path
) -> Iterator[Path]:
    for member in members:
        content = opened.extractfile(member)
        if content is not None:  # never for a regular file
            yield _write(out_dir, member.name, content)


def _extract_zip(
    opened: zipfile.ZipFile,
    archive: Path,
    out_dir: Path,
    wanted: Callable[[PurePosixPath], bool],
) -> list[Path]:
    members = opened.infolist()
    for member in members:
        _check_path(archive, member.filename)
        if (member.external_attr >> 16) & 0o170000 == 0o120000:  # Unix file type: link
            raise ConvertError(f"{archive} is refused: {member.filename} is a link")
    chosen = [m for m in members if not m.is_dir() and wanted(PurePosixPath(m.filename))]
    _check_size(archive, sum(member.file_size for member in chosen))
    return list(_write_zip_members(opened, chosen, out_dir))


def _write_zip_members(
    opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], out_dir: Path
) -> Iterator[Path]:
    for member in members:
        with opened.open(member) as content:
            yield _write(out_dir, member.filename, content)


def _check_path(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise ConvertError(f"{archive} is refused: the path {name!r} leaves the archive")


def _check_size(archive: Path, total: int) -> None:
    if total > MAX_UNPACKED:
        raise ConvertError(f"{archive} is refused: it unpacks to {total} bytes")


def _write(out_dir: Path, name: str, content: IO[bytes]) -> Path:
    path = out_dir / PurePosixPath(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    return path
