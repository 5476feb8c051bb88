"""onnxruntime with a converted model's network, on one thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

    from inference.manifest import Manifest


def session_of(network: bytes) -> onnxruntime.InferenceSession:
    """A session with a network in ONNX."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(network, settings, ["CPUExecutionProvider"])


def as_onnx(manifest: Manifest) -> bytes:
    """A model's network. Raises GraphError where it cannot be written as ONNX."""
    from convert.onnx.onnx_export import program_as_onnx

    return program_as_onnx(manifest.server_dir)
