"""insightface: its own classes for SCRFD and ArcFace, on the files that they are given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from insightface.model_zoo import SCRFD, ArcFaceONNX
from insightface.utils import face_align

from bench.peers.servers.server import Find, Found

# What its FaceAnalysis takes where nothing else is said.
_SIZE = (640, 640)
_THRESHOLD = 0.5


def load(files: Mapping[str, Any]) -> Find:
    """detection: of an SCRFD with landmarks. recognition: of a network with insightface's input.

    stock: as its FaceAnalysis does it, whose networks have as many threads as there are cores and
    take faces one by one. Without it, a thread, and the faces of a picture together.
    """
    stock = files["stock"]
    detector = SCRFD(files["detection"], None if stock else _session(files["detection"]))
    detector.prepare(-1, input_size=_SIZE, det_thresh=_THRESHOLD)
    recogniser = ArcFaceONNX(
        files["recognition"], None if stock else _session(files["recognition"])
    )

    def find(picture: np.ndarray) -> list[Found]:
        rows, points = detector.detect(picture, input_size=_SIZE)
        crops = [face_align.norm_crop(picture, five, recogniser.input_size[0]) for five in points]
        batches = [[crop] for crop in crops] if stock else [crops] if crops else []
        embeddings = [embedding for some in batches for embedding in recogniser.get_feat(some)]
        return [
            Found(row[:4], float(row[4]), five, embedding)
            for row, five, embedding in zip(rows, points, embeddings)
        ]

    return find


def _session(file: str) -> onnxruntime.InferenceSession:
    """One thread, as there is a worker a core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
