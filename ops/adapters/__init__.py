"""Adapters: what differs between families of models, so that the stages needn't know.

A manifest's ``family`` names its adapter; see :mod:`ops.adapters.base` for what one does.
"""

from __future__ import annotations

from ops.adapters.antispoof import AntiSpoof
from ops.adapters.arcface import ArcFace
from ops.adapters.base import Adapter, Recognizer
from ops.adapters.blazeface import BlazeFace
from ops.adapters.blazeface_fpn_ssh import BlazeFaceFpnSsh
from ops.adapters.dlib_resnet import DlibResnet
from ops.adapters.emotion import Emotion
from ops.adapters.facemesh import FaceMesh
from ops.adapters.faceres import FaceRes
from ops.adapters.liveness import Liveness
from ops.adapters.minifasnet import MiniFasNet
from ops.adapters.scrfd import Scrfd
from ops.manifest import Manifest

__all__ = ["ADAPTERS", "Adapter", "Recognizer", "create_adapter"]

ADAPTERS: dict[str, type[Adapter]] = {
    "antispoof": AntiSpoof,
    "arcface": ArcFace,
    "blazeface": BlazeFace,
    "blazeface_fpn_ssh": BlazeFaceFpnSsh,
    "dlib_resnet": DlibResnet,
    "emotion": Emotion,
    "facemesh": FaceMesh,
    "faceres": FaceRes,
    "liveness": Liveness,
    "minifasnet": MiniFasNet,
    "scrfd": Scrfd,
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
    return ADAPTERS[manifest.family](manifest)
