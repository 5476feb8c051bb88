"""A bundle: one tar with everything that an installation without a network needs.

MANIFEST.json is its first member and names every other one with its size and SHA-256; a bundle is
looked through as a whole before anything of it is used. What makes bundles is `deploy.bundle`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from deploy.installation.errors import InstallError

FORMAT = 1
MANIFEST = "MANIFEST.json"
# Its folders: the project's files, packages of Python, converted models, and what models are
# converted from.
PROJECT, WHEELS, MODELS, SOURCES = "project", "wheels", "models", "sources"
_FOLDERS = (PROJECT, WHEELS, MODELS, SOURCES)
# Bounds of what is unpacked.
MOST_FILES, MOST_BYTES, _MOST_MANIFEST = 20_000, 16 << 30, 16 << 20
_NAME = re.compile(r"[A-Za-z0-9_+!.@-]+(/[A-Za-z0-9_+!.@ ()-]+)+")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    release: `deploy.installation.release.name_of` its project. python: the version that its
    packages are for. device: cpu or gpu. files: size and SHA-256 by name; executable: names.
    """

    release: str
    python: str
    device: str
    files: dict[str, tuple[int, str]]
    executable: frozenset[str]

    def to_json(self) -> str:
        """As it stands in the bundle."""
        files = {
            name: {"bytes": size, "sha256": digest, "executable": name in self.executable}
            for name, (size, digest) in sorted(self.files.items())
        }
        head = {"release": self.release, "python": self.python, "device": self.device}
        return json.dumps({"format": FORMAT, **head, "files": files}, indent=1) + "\n"


def read_manifest(file: Path) -> Manifest:
    """A bundle's manifest. Raises InstallError for what is no bundle."""
    with _opened(file) as tar:
        first = tar.next()
        if first is None or first.name != MANIFEST or not first.isreg():
            raise InstallError(f"{file}: no bundle: it does not begin with {MANIFEST}")
        if first.size > _MOST_MANIFEST:
            raise InstallError(f"{file}: its {MANIFEST} is too large")
        return _manifest(file, _content(tar, first).read())


def unpack(file: Path, folder: Path) -> Manifest:
    """Unpack a bundle into an empty folder, every file of it compared with its digest.

    Raises InstallError where one is missing, is another one, or is not named; what was unpacked by
    then is of no use.
    """
    manifest = read_manifest(file)
    missing = set(manifest.files)
    with _opened(file) as tar:
        tar.next()
        while (member := tar.next()) is not None:
            if member.name not in missing:
                raise InstallError(f"{file}: {member.name[:200]!r} is not in its {MANIFEST}")
            if not member.isreg():
                raise InstallError(f"{file}: {member.name} is not a file")
            size, digest = manifest.files[member.name]
            if member.size != size:
                raise InstallError(f"{file}: {member.name} has another size than {MANIFEST} says")
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if _write(_content(tar, member), target) != digest:
                raise InstallError(f"{file}: {member.name} is damaged: another SHA-256")
            target.chmod(0o755 if member.name in manifest.executable else 0o644)
            missing.remove(member.name)
    if missing:
        raise InstallError(f"{file}: {len(missing)} files are missing, {min(missing)} for one")
    return manifest


def digest_of(path: Path) -> str:
    """A file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _manifest(file: Path, content: bytes) -> Manifest:
    try:
        found: dict[str, Any] = json.loads(content)
        if found["format"] != FORMAT:
            raise InstallError(f"{file}: a bundle of format {found['format']}, {FORMAT} is known")
        files = {
            str(name): (int(one["bytes"]), str(one["sha256"]))
            for name, one in found["files"].items()
        }
        executable = frozenset(name for name, one in found["files"].items() if one["executable"])
        manifest = Manifest(
            str(found["release"]), str(found["python"]), str(found["device"]), files, executable
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InstallError(f"{file}: its {MANIFEST} cannot be read: {error!r:.200}") from None
    _check(file, manifest)
    return manifest


def _check(file: Path, manifest: Manifest) -> None:
    """Names become paths, so they are looked at first."""
    for name in manifest.files:
        parts = name.split("/")
        if not _NAME.fullmatch(name) or parts[0] not in _FOLDERS or {".", ".."} & set(parts):
            raise InstallError(f"{file}: {name[:200]!r} is no name of a bundle's file")
    sizes = [size for size, _ in manifest.files.values()]
    if len(sizes) > MOST_FILES or sum(sizes) > MOST_BYTES or any(size < 0 for size in sizes):
        raise InstallError(f"{file}: it is larger than a bundle may be")
    for word in (manifest.release, manifest.python):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}", word):
            raise InstallError(f"{file}: {word[:100]!r} in its {MANIFEST} is not understood")


@contextmanager
def _opened(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, "r:") as tar:
            yield tar
    except (OSError, tarfile.TarError, EOFError) as error:
        raise InstallError(f"{file}: no bundle: {error}") from None


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    if content is None:
        raise InstallError(f"{member.name} is not a file")
    return content


def _write(content: IO[bytes], target: Path) -> str:
    digest = hashlib.sha256()
    # Never through something that is there already.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(target, flags, 0o600), "wb") as made:
        while block := content.read(_BLOCK):
            digest.update(block)
            made.write(block)
    return digest.hexdigest()
