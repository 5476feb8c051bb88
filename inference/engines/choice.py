"""Which way a model is run: what was asked for, what it was verified for, what the machine can."""

from __future__ import annotations

from inference.engines import openvino_engine
from inference.engines.base import (
    BF16,
    FP16,
    FP32,
    OPENVINO,
    PADDLE,
    REFERENCE,
    TENSORRT,
    EngineError,
    Way,
)
from inference.manifest import Manifest
from inference.processor import has_bf16

AUTO = "auto"
# The fastest first. In bf16 a batch takes OpenVINO half of Paddle's time, but Paddle less than
# OpenVINO in fp32 (docs/benchmarks.md).
ON_PROCESSOR = (Way(OPENVINO, BF16), Way(PADDLE, BF16), Way(OPENVINO, FP32), REFERENCE)
# Nobody has verified the others on a GPU, so that they are not taken unasked.
ON_GPU = (REFERENCE, Way(TENSORRT, FP32), Way(PADDLE, FP16), Way(TENSORRT, FP16))


def candidates(engine: str, precision: str, device: str) -> list[Way]:
    """The ways that fit what was asked for, the one to be tried first before the others.

    engine, precision: "auto" or what is to be taken. device: "cpu" or "gpu:...".
    Raises EngineError where the device has no such way.
    """
    on_gpu = device != "cpu"
    known = ON_GPU if on_gpu else ON_PROCESSOR
    found = [
        way for way in known if engine in (AUTO, way.engine) and precision in (AUTO, way.precision)
    ]
    if not found:
        place = "a GPU" if on_gpu else "the processor"
        ways = ", ".join(str(way) for way in known)
        raise EngineError(
            f"engine {engine} with precision {precision} is nothing that runs on {place}; "
            f"there are: {ways}"
        )
    return found[:1] if on_gpu else found


def refusal(manifest: Manifest, way: Way, flags: frozenset[str]) -> str:
    """Why a model cannot be run on the processor that way; empty where it can.

    flags: the processor's, as `inference.processor` reads them.
    """
    if way == REFERENCE:
        return ""
    if way.precision == BF16 and not has_bf16(flags):
        return "this processor has no bf16 (AVX512-BF16 or AMX)"
    if way.engine == OPENVINO and not openvino_engine.is_installed():
        return "OpenVINO is not installed"
    verified = manifest.verified(way.engine, way.precision)
    if verified is None:
        return f"it was not verified for it; run: .venv/bin/python -m convert {manifest.name}"
    return verified.refused


def worth_a_line(way: Way, taken: Way) -> bool:
    """Whether it is to be told that a way was passed over for another one.

    Not where only the precision differs: most processors have no bf16.
    """
    return way.engine == OPENVINO and taken.engine != OPENVINO and way.precision == FP32
