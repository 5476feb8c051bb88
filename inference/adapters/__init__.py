"""Adapters: what differs between families of models, so that the stages needn't know.

A manifest's ``family`` names its adapter; see :mod:`inference.adapters.base` for what one does.
"""

from __future__ import annotations

from inference.adapters.antispoof import AntiSpoof
from inference.adapters.arcface import ArcFace
from inference.adapters.base import Adapter, Recognizer
from inference.adapters.blazeface import BlazeFace
from inference.adapters.blazeface_fpn_ssh import BlazeFaceFpnSsh
from inference.adapters.dlib_resnet import DlibResnet
from inference.adapters.emotion import Emotion
from inference.adapters.facemesh import FaceMesh
from inference.adapters.faceres import FaceRes
from inference.adapters.liveness import Liveness
from inference.adapters.minifasnet import MiniFasNet
from inference.adapters.scrfd import Scrfd
from inference.manifest import Manifest

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
