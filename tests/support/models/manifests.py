"""Model directories for tests: a manifest and empty files in place of the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from inference.manifest import Manifest


def manifest_document(
    family: str,
    shape: Sequence[int],
    outputs: Mapping[str, Sequence[int]],
    options: Mapping[str, Any] | None = None,
    task: str = "detection",
) -> dict[str, Any]:
    """What model.yml holds; shape: of one sample (C, H, W); outputs: alias to shape."""

    def tensor(alias: str, sizes: Sequence[int]) -> dict[str, Any]:
        return {"name": f"{alias}.tmp_0", "alias": alias, "dtype": "float32", "shape": list(sizes)}

    return {
        "format": 1,
        "name": f"test_{family}",
        "task": task,
        "family": family,
        "licence": "MIT",
        "source": "a test",
        "converter": "none",
        "max_batch": 0,
        "inputs": [tensor("image", [-1, *shape])],
        "outputs": [tensor(alias, sizes) for alias, sizes in outputs.items()],
        "options": dict(options or {}),
        "files": {},
    }


def write_model(directory: Path, document: Mapping[str, Any]) -> Path:
    """Write the manifest and the model's two files, empty, below ``directory``."""
    server = directory / "serving_server"
    server.mkdir(parents=True)
    for name in ("inference.pdmodel", "inference.pdiparams"):
        (server / name).touch()
    (directory / "model.yml").write_text(yaml.safe_dump(dict(document)), encoding="utf-8")
    return directory


def make_manifest(directory: Path, *args: Any, **kwargs: Any) -> Manifest:
    """A loaded manifest; arguments as of :func:`manifest_document`."""
    return Manifest.load(write_model(directory, manifest_document(*args, **kwargs)))
