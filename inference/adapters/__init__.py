"""Adapters: what differs between families of models, so that the stages needn't know.

A manifest's ``family`` names its adapter; see :mod:`inference.adapters.base` for what one does.
"""

from __future__ import annotations

import pkgutil

from inference.adapters.base import Adapter, Recognizer
from inference.manifest import Manifest

__all__ = ["ADAPTERS", "Adapter", "Recognizer", "create_adapter"]

# A line each family: its adapter, ``module:Class`` in this folder.
ADAPTERS = {
    "antispoof": "antispoof:AntiSpoof",
    "arcface": "arcface:ArcFace",
    "blazeface": "blazeface:BlazeFace",
    "blazeface_fpn_ssh": "blazeface_fpn_ssh:BlazeFaceFpnSsh",
    "dlib_resnet": "dlib_resnet:DlibResnet",
    "emotion": "emotion:Emotion",
    "facemesh": "facemesh:FaceMesh",
    "faceres": "faceres:FaceRes",
    "liveness": "liveness:Liveness",
    "minifasnet": "minifasnet:MiniFasNet",
    "scrfd": "scrfd:Scrfd",
    "sface": "sface:SFace",
    "yunet": "yunet:YuNet",
}


def create_adapter(manifest: Manifest) -> Adapter:
    """The adapter of a manifest's family.

    Raises ValueError naming the family for one that isn't known, and ManifestError for a
    manifest that lacks what the family needs.
    """
    if manifest.family not in ADAPTERS:
        known = ", ".join(sorted(ADAPTERS))
        raise ValueError(
            f"{manifest.path}: family: {manifest.family!r} is not known; there are: {known}"
        )
    kind: type[Adapter] = pkgutil.resolve_name(f"{__name__}.{ADAPTERS[manifest.family]}")
    return kind(manifest)
