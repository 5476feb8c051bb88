"""The Python packages of an environment, by what each says of itself."""

from __future__ import annotations

import importlib.metadata
import re
import sysconfig
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageMetadata
from pathlib import Path

from deploy.sbom.component import Component

_LOCKED = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CLASSIFIER = "License :: "
# A package that has its licence's whole text where the name belongs; its classifier says it.
_LONGEST_NAME = 100


def python_packages(locks: Iterable[Path]) -> list[Component]:
    """All distributions of this Python's environment, by name.

    locks: their files' hashes are told where name and version are the ones that are installed.
    """
    hashes = locked_hashes(locks)
    found: dict[str, Component] = {}
    # Not sys.path: setuptools adds its own copies of packages to that.
    for distribution in importlib.metadata.distributions(path=environment()):
        component = _component(distribution, hashes)
        # The first of a name is the one that would be imported.
        found.setdefault(component.reference.partition("@")[0], component)
    return sorted(found.values(), key=lambda one: one.name.lower())


def environment() -> list[str]:
    """The folders that packages are installed in."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys((paths["purelib"], paths["platlib"])))


def normal_name(name: str) -> str:
    """A project's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_hashes(locks: Iterable[Path]) -> dict[tuple[str, str], tuple[str, ...]]:
    """SHA-256 in hexadecimal of the files that a lock allows, by normal name and version."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for lock in locks:
        key = None
        for line in lock.read_text(encoding="utf-8").splitlines():
            if entry := _LOCKED.match(line):
                key = (normal_name(entry["name"]), entry["version"])
            if key is not None and (digest := _HASH.search(line)):
                found[key] = (*found.get(key, ()), digest[1])
    return found


def _component(
    distribution: Distribution, hashes: Mapping[tuple[str, str], tuple[str, ...]]
) -> Component:
    metadata = distribution.metadata
    name, version = normal_name(metadata["Name"]), distribution.version
    purl = f"pkg:pypi/{name}@{version}"
    locked = hashes.get((name, version), ())
    return Component(
        kind="library",
        reference=purl,
        name=metadata["Name"],
        version=version,
        purl=purl,
        description=_one_line(_field(metadata, "Summary")),
        expression=_field(metadata, "License-Expression"),
        licences=_stated_licences(metadata),
        # Of one file alone it is known that it is the one that was installed.
        sha256=locked[0] if len(locked) == 1 else "",
        properties=tuple(("requirements.lock:sha256", digest) for digest in locked),
    )


def _stated_licences(metadata: PackageMetadata) -> tuple[str, ...]:
    """By the field if that is a name, else by the classifiers."""
    stated = _one_line(_field(metadata, "License"))
    if stated and stated.upper() != "UNKNOWN":
        return (stated,)
    found = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier") or []
        if line.startswith(_CLASSIFIER)
    ]
    return tuple(one for one in found if one != "OSI Approved")


def _field(metadata: PackageMetadata, name: str) -> str:
    return str(metadata.json.get(name.lower().replace("-", "_"), ""))


def _one_line(text: str) -> str:
    text = text.strip()
    return text if "\n" not in text and len(text) <= _LONGEST_NAME else ""
