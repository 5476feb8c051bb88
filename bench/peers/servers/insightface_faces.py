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
    """detection: of an SCRFD with landmarks. recognition: of a network with insightface's input."""
    detector = SCRFD(files["detection"], _session(files["detection"]))
    detector.prepare(-1, input_size=_SIZE, det_thresh=_THRESHOLD)
    recogniser = ArcFaceONNX(files["recognition"], _session(files["recognition"]))

    def find(picture: np.ndarray) -> list[Found]:
        rows, points = detector.detect(picture, input_size=_SIZE)
        if not len(rows):
            return []
        # Together, which is faster than one by one, as its FaceAnalysis does it.
        crops = [face_align.norm_crop(picture, five, recogniser.input_size[0]) for five in points]
        embeddings = recogniser.get_feat(crops)
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
