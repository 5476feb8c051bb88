"""ArcFace: the embedding of each aligned face."""

from __future__ import annotations

from collections.abc import Sequence

from inference.runner import Timing
from ops.request_state import RequestState
from ops.worker import ModelWorker
from vision.geometry import align


class ArcFaceWorker(ModelWorker):
    """Fills `face.embedding` and, where asked for, `face.aligned`.

    Not of faces whose alignment cannot be trusted: the embedding of a crop that shows no upright
    face is like that of any other such crop, whoever is in it.
    """

    def concerns(self, request: RequestState) -> bool:
        return not request.options.want.isdisjoint(("embedding", "aligned"))

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        runner = self.runners[0]
        pairs = [
            (picture, face)
            for request in requests
            if "embedding" in request.options.want
            for picture, face in request.faces()
            if face.is_aligned
        ]
        samples = [(picture.rgb, face) for picture, face in pairs]
        found = runner.run(samples, timing)
        for (_, face), embedding in zip(pairs, found):
            face.embedding = embedding
        for request in requests:
            if "aligned" in request.options.want:
                for picture, face in request.faces():
                    if face.landmarks is not None and face.is_aligned:
                        face.aligned = align(picture.rgb, face.landmarks)
