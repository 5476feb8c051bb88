"""What a translation of an ONNX model computes, against onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import VerificationError
from convert.serving import MODEL_FILE, PARAMS_FILE
from convert.translation import Translation

TOLERANCE = 1e-4  # of the largest value of an output
# Of an input whose size the file leaves open, in pixels.
_OPEN_SIZE = 64
# What inputs may hold: normalised pixels, and pixels.
_RANGES = ((-1, 1), (0, 255))


def compare_with_onnxruntime(onnx_file: Path, paddle_dir: Path, translation: Translation) -> None:
    """Run both models on the same noise, batch 1; raises VerificationError where they differ."""
    try:
        import onnxruntime
    except ImportError:
        return
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3  # older exports list their weights as inputs: a warning each
    session = onnxruntime.InferenceSession(str(onnx_file), settings, ["CPUExecutionProvider"])
    given = session.get_inputs()
    for low, high in _RANGES:
        noise = np.random.default_rng(7)
        feeds = [
            noise.uniform(low, high, _shape(variable.shape, peer.shape)).astype(variable.dtype)
            for variable, peer in zip(translation.inputs, given)
        ]
        expected = session.run(None, dict(zip((peer.name for peer in given), feeds)))
        named = {v.name: feed for v, feed in zip(translation.inputs, feeds)}
        _compare(onnx_file.name, translation, run_paddle(paddle_dir, named), expected)


def _shape(ours: Sequence[int], theirs: Sequence[int | str]) -> list[int]:
    """Of a sample that both take: a size that one of them leaves open is the other's."""
    chosen = [1]
    for size, other in zip(ours[1:], theirs[1:]):
        known = other if isinstance(other, int) else _OPEN_SIZE
        chosen.append(known if size == -1 else size)
    return chosen


def _compare(
    name: str,
    translation: Translation,
    actual: Mapping[str, np.ndarray],
    expected: Sequence[np.ndarray],
) -> None:
    for variable, wanted in zip(translation.outputs, expected):
        got = actual[variable.name]
        if got.size != wanted.size:
            raise VerificationError(f"{name}: {variable.alias} has {got.size} values")
        difference = float(np.abs(got.reshape(wanted.shape) - wanted).max())
        if difference > TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise VerificationError(
                f"{name}: {variable.alias} differs from onnxruntime by {difference:.1e}"
            )


def run_paddle(paddle_dir: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs by name of the inference model in ``paddle_dir`` for ``feeds`` by name."""
    from paddle import inference

    config = inference.Config(str(paddle_dir / MODEL_FILE), str(paddle_dir / PARAMS_FILE))
    config.disable_gpu()
    config.disable_glog_info()
    predictor: Any = inference.create_predictor(config)
    for name, feed in feeds.items():
        predictor.get_input_handle(name).copy_from_cpu(feed)
    predictor.run()
    return {
        name: predictor.get_output_handle(name).copy_to_cpu()
        for name in predictor.get_output_names()
    }
