"""A stock Paddle Serving service of one recognition op, laid out as InsightFace's example.

``python -m bench.published.service SETTINGS.yml SIDE`` serves until it is ended. The classes are
Paddle Serving's as they are installed; the settings are made by `bench/load/published.py`. SIDE is
that of the model's input in pixels. The input is scaled as the example's network wants it, whatever
the model: that changes its answers, not its speed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from bench.load.published import FETCH, NAME, OP, become_child
from paddle_fence.stock_service import Op, WebService


class RecognitionOp(Op):  # type: ignore[misc]
    """base64 of aligned faces in, embeddings out.

    The example takes one picture under the key `image`. Here every key that starts so is taken,
    so that several faces can come in one request: Paddle Serving keeps one value for each key.
    """

    side = 112

    def preprocess(
        self, input_dicts: dict[str, dict[str, str]], data_id: int, log_id: int
    ) -> tuple[Any, bool, None, str]:
        """Model input (N, 3, side, side) float32, RGB, -1 to 1, for the key of the model's feed."""
        import base64

        (request,) = input_dicts.values()
        faces = []
        for key, text in request.items():
            if key.startswith("image"):
                file = np.frombuffer(base64.b64decode(text), np.uint8)
                picture = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
                face = cv2.resize(picture, (self.side, self.side))
                faces.append(face[:, :, ::-1].transpose(2, 0, 1))
        batch = (np.stack(faces).astype(np.float32) - 127.5) / 127.5
        return {self.right_feed_names[0]: batch}, False, None, ""

    def postprocess(
        self, input_data: Any, fetch_data: dict[str, np.ndarray], data_id: int, log_id: int
    ) -> tuple[dict[str, np.ndarray], None, str]:
        """Embeddings (N, D) float32; Paddle Serving writes them as text."""
        return {"out": fetch_data[FETCH]}, None, ""


class RecognitionService(WebService):  # type: ignore[misc]
    """A DAG of the one op."""

    def get_pipeline_response(self, read_op: Any) -> RecognitionOp:
        return RecognitionOp(name=OP, input_ops=[read_op])


def run(settings: Path, side: int) -> None:
    """Serve until the process is ended."""
    RecognitionOp.side = side
    become_child()
    service = RecognitionService(name=NAME)
    service.prepare_pipeline_config(yml_dict=yaml.safe_load(settings.read_text(encoding="utf-8")))
    service.run_service()


if __name__ == "__main__":
    run(Path(sys.argv[1]), int(sys.argv[2]))
