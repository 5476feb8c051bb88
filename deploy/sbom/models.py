"""The models, by their manifests: each with its licence, its source and its files' digests."""

from __future__ import annotations

from pathlib import Path

from convert.model_directory import MANIFEST
from deploy.sbom.component import Component
from inference.manifest import Manifest


def models(directory: Path) -> list[Component]:
    """All models below a directory, by name; none where there is no directory.

    Raises ManifestError for one whose manifest cannot be read or whose files are away.
    """
    found = []
    for file in sorted(directory.glob(f"*/{MANIFEST}")):
        found.append(_component(Manifest.load(file.parent)))
    return found


def _component(manifest: Manifest) -> Component:
    reference = f"model:{manifest.name}"
    return Component(
        kind="machine-learning-model",
        reference=reference,
        name=manifest.name,
        licences=(manifest.licence,),
        properties=(
            ("face-serving:source", manifest.source),
            ("face-serving:converter", manifest.converter),
            ("face-serving:task", str(manifest.task)),
        ),
        parts=tuple(
            Component("file", f"{reference}/{name}", name, sha256=digest)
            for name, digest in sorted({**manifest.files, **manifest.openvino}.items())
        ),
    )
