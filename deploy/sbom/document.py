"""The document: CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/."""

from __future__ import annotations

import json
import tomllib
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.sbom.component import Component
from deploy.sbom.models import models
from deploy.sbom.python_packages import python_packages
from deploy.sbom.system_packages import cuda_libraries, debian_packages

_LOCKS = ("requirements.lock", "requirements-gpu.lock")
# Of the documents' serial numbers: the same parts have the same number.
_SPACE = uuid.UUID("4f0f3a0c-6f0e-5d3e-9d0c-5a5a6c0c1c55")


def installed(program: Path, models_dir: Path, system: Path | None) -> list[Component]:
    """Everything that is told of.

    program: the project's folder. system: the root of the file system, whose Debian packages and
    CUDA libraries are told as well; None leaves them out.
    Raises ManifestError.
    """
    locks = [program / name for name in _LOCKS]
    found = python_packages(lock for lock in locks if lock.is_file())
    found += models(models_dir)
    if system is not None:
        found += debian_packages(system) + cuda_libraries(system)
    return found


def make_document(program: Path, models_dir: Path, system: Path | None) -> dict[str, Any]:
    """The whole document of what :func:`installed` finds."""
    return of_components(program, installed(program, models_dir, system))


def of_components(program: Path, components: Iterable[Component]) -> dict[str, Any]:
    """The document of these components."""
    parts = [component.document() for component in components]
    project = tomllib.loads((program / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    serial = uuid.uuid5(_SPACE, json.dumps([version, parts], sort_keys=True))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "component": {
                "type": "application",
                "bom-ref": f"{name}@{version}",
                "name": name,
                "version": version,
                "description": project["description"],
            },
        },
        "components": parts,
    }


def written(document: dict[str, Any]) -> str:
    """The document's text."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
