"""Response: the JSON document of a request."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import orjson
import pybase64

from inference.runner import Timing
from ops.options import Options
from ops.request_state import Picture, RequestState
from ops.worker import PipelineContext, Worker
from vision.face import Face, Quality

ANGLES = ("yaw", "pitch", "roll")
# Why a face has no embedding; the name never changes its meaning.
UNALIGNED = "ALIGNMENT_UNSURE"


class ResponseWorker(Worker):
    """Writes `request.document`.

    models: stage name to name of the model that it runs, told to every client; engines: to what
    runs it.
    """

    def __init__(self, models: Mapping[str, str], engines: Mapping[str, str]) -> None:
        self._running = {"models": dict(models), "engines": dict(engines)}

    @classmethod
    def in_pipeline(cls, context: PipelineContext) -> ResponseWorker:
        return cls(context.models, context.engines)

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        started = time.perf_counter()
        for request in requests:
            request.document = document(request.pictures, request.options, self._running)
        timing.decode += time.perf_counter() - started


def document(
    pictures: Sequence[Picture], options: Options, running: Mapping[str, Mapping[str, str]]
) -> str:
    """The answer as JSON text; boxes and points in pixels, rounded to hundredths.

    running: `models` and `engines` by stage.
    """
    images = [_image(picture, options) for picture in pictures]
    body = orjson.dumps({"images": images, **running}, option=orjson.OPT_SERIALIZE_NUMPY)
    return body.decode("utf-8")


def _image(picture: Picture, options: Options) -> dict[str, Any]:
    if picture.error is not None:
        return {"error": {"code": picture.error.code, "message": picture.error.message}}
    faces = [_face(face, options, picture.scale) for face in picture.faces]
    return {"width": picture.width, "height": picture.height, "faces": faces}


def _face(face: Face, options: Options, scale: int) -> dict[str, Any]:
    result: dict[str, Any] = {
        "box": _rounded(face.box * scale),
        "score": round(float(face.score), 4),
    }
    if "landmarks" in options.want and face.landmarks is not None:
        result["landmarks"] = _rounded(face.landmarks * scale)
    if face.embedding is not None:
        result["embedding"] = _embedding(face.embedding, options.embedding_format)
    elif "embedding" in options.want and not face.is_aligned:
        result["no_embedding"] = UNALIGNED
    if "attributes" in options.want:
        result["attributes"] = face.attributes
    if face.liveness is not None:
        result["liveness"] = {"score": round(face.liveness, 4)}
    if face.angle is not None:
        result["angle"] = dict(zip(ANGLES, (round(v, 2) for v in face.angle.tolist())))
    if face.quality is not None:
        result["quality"] = _quality(face.quality)
    if "mesh" in options.want and face.mesh is not None:
        result["mesh"] = _rounded(face.mesh * scale)
    if face.aligned is not None:
        result["aligned"] = _png(face.aligned)
    return result


def _quality(quality: Quality) -> dict[str, Any]:
    result: dict[str, Any] = {
        "blur": round(quality.blur, 3),
        "illumination": round(quality.illumination, 1),
    }
    if quality.completeness is not None:
        result["completeness"] = round(quality.completeness, 3)
    if quality.occlusion is not None:
        result["occlusion"] = {name: round(v, 3) for name, v in quality.occlusion.items()}
    return result


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.round(values.astype(np.float32), 2))


def _embedding(embedding: np.ndarray, form: str) -> Any:
    vector = np.ascontiguousarray(embedding, dtype="<f4")
    if form == "base64":
        return pybase64.b64encode_as_string(vector.tobytes())
    return vector


def _png(crop: np.ndarray) -> str:
    """Base64 of a PNG of an RGB picture."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
    if not done:
        raise RuntimeError("the aligned crop could not be encoded")
    return pybase64.b64encode_as_string(encoded.tobytes())
