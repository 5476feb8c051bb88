"""What the engines' benchmark runs a model with: each way of the service, and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.models.peer import as_onnx, session_of
from convert.network.graph import GraphError
from inference.engines.base import (
    BF16,
    FP32,
    OPENVINO,
    PADDLE,
    EngineError,
    Network,
    Predictor,
    Way,
)
from inference.manifest import Manifest, ManifestError
from inference.predictor import Model
from inference.processor import has_bf16, processor_flags

PEER = Way("onnxruntime", FP32)
_PROCESSOR = (Way(PADDLE, FP32), Way(PADDLE, BF16), Way(OPENVINO, FP32), Way(OPENVINO, BF16))
ALL = (*_PROCESSOR[:2], PEER, *_PROCESSOR[2:])


class PeerNetwork(Network):
    """A model in onnxruntime, which gets it written as ONNX; on one thread."""

    def __init__(self, manifest: Manifest) -> None:
        """Raises GraphError for a network that cannot be written as ONNX."""
        self._session = session_of(as_onnx(manifest))
        self._manifest = manifest

    def predictor(self) -> Predictor:
        return _PeerPredictor(self._session, self._manifest)


class _PeerPredictor(Predictor):
    def __init__(self, session: object, manifest: Manifest) -> None:
        self._session, self._manifest = session, manifest

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        named = {spec.name: feeds[spec.alias] for spec in self._manifest.inputs}
        outputs = self._session.run(None, named)  # type: ignore[attr-defined]
        return {spec.alias: values for spec, values in zip(self._manifest.outputs, outputs)}


def loaded(folder: Path, way: Way) -> tuple[Model | None, str]:
    """A model of a directory, to be run that way; or None and why it cannot be."""
    try:
        if way == PEER:
            manifest = Manifest.load(folder)
            return Model(manifest, PeerNetwork(manifest), "cpu", way), ""
        if way.precision == BF16 and not has_bf16(processor_flags()):
            return None, "this processor has no bf16"
        if way.engine == OPENVINO and not Manifest.load(folder).openvino_path.is_file():
            return None, f"not there; run: .venv/bin/python -m convert {folder.name}"
        return Model.load(folder, way=way), ""
    except (EngineError, GraphError, ManifestError) as error:
        return None, str(error)


def chosen(folder: Path) -> Way:
    """What the service takes by itself."""
    return Model.choose(folder).way
