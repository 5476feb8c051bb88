"""Known holes from a copy of PyPA's advisory database, for machines with no way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

# github.com/pypa/advisory-database: a folder a package, in it a file a hole, as OSV writes it.
FOLDER = "vulns"


def look_up(copy: Path, pins: list[str]) -> list[dict[str, Any]]:
    """What pip-audit would say of each NAME==VERSION, by the files of ``copy``.

    Raises FileNotFoundError where ``copy`` is no such database.
    """
    if not (copy / FOLDER).is_dir():
        raise FileNotFoundError(f"{copy} has no folder {FOLDER}")
    return [
        {"name": name, "version": version, "vulns": holes(copy / FOLDER / name, Version(version))}
        for name, _, version in (pin.partition("==") for pin in pins)
    ]


def holes(folder: Path, version: Version) -> list[dict[str, Any]]:
    """Those of one package that ``version`` has."""
    found = []
    for file in sorted(folder.glob("*.yaml")):
        hole = yaml.load(file.read_bytes(), yaml.CBaseLoader)  # noqa: S506 (makes strings alone)
        ranges = [
            part["events"]
            for affected in hole.get("affected", ())
            for part in affected.get("ranges", ())
            if part["type"] == "ECOSYSTEM"
        ]
        if "withdrawn" not in hole and any(within(events, version) for events in ranges):
            fixed = {event["fixed"] for events in ranges for event in events if "fixed" in event}
            later = sorted(filter(lambda text: Version(text) > version, fixed), key=Version)
            found.append({"id": hole["id"], "fix_versions": later})
    return found


def within(events: list[dict[str, str]], version: Version) -> bool:
    """Whether the last of the events up to ``version`` brings the hole in."""
    inside = False
    for event in sorted(events, key=_when):
        ((kind, text),) = event.items()
        if kind == "introduced" and (text == "0" or version >= Version(text)):
            inside = True
        elif (kind == "fixed" and version >= Version(text)) or (
            kind == "last_affected" and version > Version(text)
        ):
            inside = False
    return inside


def _when(event: dict[str, str]) -> Version:
    return Version(next(iter(event.values())))
