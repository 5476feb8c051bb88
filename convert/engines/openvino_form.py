"""OpenVINO's form of a converted model: Paddle's program written as ONNX, read and saved."""

from __future__ import annotations

from pathlib import Path

from convert.errors import ConvertError
from convert.model_directory import file_sha256
from inference.manifest import Manifest


def write_openvino_form(manifest: Manifest) -> dict[str, str]:
    """Write ``openvino/`` into the model's directory; the SHA-256 of its files by name.

    Raises ConvertError for a network that the ONNX writer or OpenVINO cannot take.
    """
    # Numpy, Paddle and OpenVINO take a second that a run without work does without.
    import openvino

    from convert.network.graph import GraphError
    from convert.onnx.onnx_export import program_as_onnx

    path = manifest.openvino_path
    try:
        network = program_as_onnx(manifest.server_dir)
    except GraphError as error:
        raise ConvertError(str(error)) from error
    try:
        model = openvino.Core().read_model(network)
        path.parent.mkdir(exist_ok=True)
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise ConvertError(f"OpenVINO cannot read it: {error}") from error
    return digests(path.parent)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files in a folder by their names; empty where there is none."""
    return {path.name: file_sha256(path) for path in sorted(folder.glob("*"))}
