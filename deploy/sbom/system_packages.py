"""What is below Python: Debian's packages, and NVIDIA's libraries where an image has them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from deploy.sbom.component import Component

_STATUS = "var/lib/dpkg/status"
_RELEASE = "etc/os-release"
_CUDA = "usr/local/cuda/lib64"
_NVIDIA_LICENCE = "NVIDIA Software License Agreement"
_INSTALLED = "install ok installed"
# Debian's machine-readable format of copyright files: a licence's short name.
_LICENCE = re.compile(r"^License:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_READ_BYTES = 1 << 20


def debian_packages(root: Path) -> list[Component]:
    """The installed packages of the system below `root`; none where it has no dpkg."""
    status = root / _STATUS
    if not status.is_file():
        return []
    system = _system(root)
    return [
        _package(root, system, fields)
        for fields in _paragraphs(status.read_text(encoding="utf-8"))
        if fields.get("Status") == _INSTALLED
    ]


def cuda_libraries(root: Path) -> list[Component]:
    """NVIDIA's libraries that the GPU image has, each with its digest; none elsewhere."""
    folder = root / _CUDA
    return [
        Component(
            kind="file",
            reference=f"file:{file.name}",
            name=file.name,
            licences=(_NVIDIA_LICENCE,),
            sha256=_digest(file),
        )
        for file in sorted(folder.glob("lib*.so.*"))
        if file.is_file() and not file.is_symlink()
    ]


def _package(root: Path, system: str, fields: dict[str, str]) -> Component:
    name, version = fields["Package"], fields["Version"]
    architecture = fields.get("Architecture", "all")
    purl = f"pkg:deb/{system}/{quote(name)}@{quote(version)}?arch={architecture}"
    return Component(
        kind="library",
        # Of one package several architectures may be there.
        reference=purl,
        name=name,
        version=version,
        purl=purl,
        description=fields.get("Description", ""),
        licences=_licences(root / "usr/share/doc" / name / "copyright"),
    )


def _licences(copyright_file: Path) -> tuple[str, ...]:
    """The short names of a file in the machine-readable format; none of another one."""
    try:
        with copyright_file.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_READ_BYTES)
    except OSError:
        return ()
    if not text.startswith("Format:"):
        return ()
    return tuple(dict.fromkeys(_LICENCE.findall(text)))


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file, without what stands on further lines of a field."""
    for paragraph in text.split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines() if line[:1].strip())
        fields = {name: value.strip() for name, _, value in pairs}
        if "Package" in fields:
            yield fields


def _system(root: Path) -> str:
    """The distribution, as a package's URL names it."""
    try:
        text = (root / _RELEASE).read_text(encoding="utf-8")
    except OSError:
        return "debian"
    found = re.search(r"^ID=\"?([a-z0-9._-]+)", text, re.MULTILINE)
    return found[1] if found else "debian"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
