"""A part of what is installed, and how CycloneDX 1.6 writes it and its licences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "not stated"
# What packages write for an identifier.
_MEANT = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
# SPDX's identifiers among the names that packages and models here give; others stay names.
_IDENTIFIERS = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "GPL-2.0-only", "GPL-2.0-or-later",
        "GPL-3.0-or-later", "HPND", "ISC", "LGPL-2.1-or-later", "LGPL-3.0-only", "MIT", "MIT-CMU",
        "MPL-2.0", "PSF-2.0", "Zlib",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Component:
    """kind: CycloneDX's type. reference: its own within the document. purl: a package's URL.

    expression: an SPDX expression, or licences: names. sha256: of the component itself, in
    hexadecimal. properties: further facts, each a name and a value. parts: its files.
    """

    kind: str
    reference: str
    name: str
    version: str = ""
    purl: str = ""
    description: str = ""
    expression: str = ""
    licences: tuple[str, ...] = ()
    sha256: str = ""
    properties: tuple[tuple[str, str], ...] = ()
    parts: tuple[Component, ...] = field(default=())

    @property
    def licence(self) -> str:
        """In words, for people."""
        return self.expression or ", ".join(self.licences) or UNKNOWN

    def document(self) -> dict[str, Any]:
        """As CycloneDX has it."""
        found: dict[str, Any] = {
            "type": self.kind,
            "bom-ref": self.reference,
            "name": self.name,
            "version": self.version,
            "purl": self.purl,
            "description": self.description,
            "licenses": _licences(self.expression, self.licences),
            "hashes": [{"alg": "SHA-256", "content": self.sha256}] if self.sha256 else [],
            "properties": [{"name": name, "value": value} for name, value in self.properties],
            "components": [part.document() for part in self.parts],
        }
        return _without_empty(found)


def _licences(expression: str, names: Sequence[str]) -> list[dict[str, Any]]:
    if expression:
        return [{"expression": expression}]
    meant = [_MEANT.get(name, name) for name in names]
    return [{"license": {"id": name} if name in _IDENTIFIERS else {"name": name}} for name in meant]


def _without_empty(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value not in ("", [])}
