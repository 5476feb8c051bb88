"""OpenVINO on the processor: a model is compiled once, every thread gets a request of its own."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from inference.engines.base import BF16, EngineError, Network, Predictor
from inference.manifest import Manifest, ManifestError

if TYPE_CHECKING:
    import numpy as np

# What the converter's ONNX writer puts before an output's name.
OUTPUT_PREFIX = "output:"


def is_installed() -> bool:
    """Whether OpenVINO's package is there; it is not loaded."""
    return find_spec("openvino") is not None


@cache
def _core() -> Any:
    import openvino

    return openvino.Core()


class OpenVinoPredictor(Predictor):
    """A request of a compiled model."""

    def __init__(self, request: Any, manifest: Manifest) -> None:
        self._request = request
        self._inputs = {v.alias: v.name for v in manifest.inputs}
        self._outputs = {v.alias: OUTPUT_PREFIX + v.name for v in manifest.outputs}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        from openvino import Tensor

        for alias, name in self._inputs.items():
            # Read where it lies. Handed to `infer` it would pass checks that take a fifth of a
            # millisecond, as long as the smallest network.
            self._request.set_tensor(name, Tensor(feeds[alias], shared_memory=True))
        self._request.infer(share_outputs=True)
        # They are the request's own memory.
        get = self._request.get_tensor
        return {alias: get(name).data.copy() for alias, name in self._outputs.items()}


class OpenVinoNetwork(Network):
    """A model in OpenVINO; what `convert` has written beside Paddle's form of it."""

    def __init__(
        self, manifest: Manifest, threads: int = 1, precision: str = "fp32", streams: int = 1
    ) -> None:
        """threads: that compute one run. streams: runs at a time, one for each thread that asks.

        Raises EngineError where OpenVINO is not installed, ManifestError for a file that cannot be
        loaded.
        """
        if not is_installed():
            raise EngineError("OpenVINO is not installed")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == BF16 else "f32",
            # Threads that share one wait for each other.
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams * threads,
            # The thread that asks computes, and is not to be tied to a core for that.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = _core().read_model(manifest.openvino_path)
            self._compiled = _core().compile_model(model, "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError and others, by the place
            raise ManifestError(
                f"{manifest.openvino_path}: cannot be loaded; make it again with: "
                f".venv/bin/python -m convert --force {manifest.name}"
            ) from error
        self._manifest = manifest

    def predictor(self) -> Predictor:
        return OpenVinoPredictor(self._compiled.create_infer_request(), self._manifest)
