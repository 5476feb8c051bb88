"""ArcFace: the embedding of each aligned face."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.manifest import Manifest
from inference.recogniser import Recipe, of_unit_length
from inference.runner import Runner, Sample, Timing
from ops.request_state import RequestState
from ops.worker import ModelWorker
from settings.dag import OpConfig
from vision.geometry import align


class ArcFaceWorker(ModelWorker):
    """Fills `face.embedding` and, where asked for, `face.aligned`.

    Not of faces whose alignment cannot be trusted: the embedding of a crop that shows no upright
    face is like that of any other such crop, whoever is in it.
    """

    def __init__(
        self, runners: Sequence[Runner], weights: Sequence[float] = (), flip: bool = False
    ) -> None:
        """weights, flip: see `inference.recogniser.Recipe`. Raises ManifestError as it does."""
        super().__init__(runners)
        self._recipe = Recipe.of([runner.manifest for runner in runners], weights, flip)

    @classmethod
    def with_settings(cls, runners: Sequence[Runner], op: OpConfig) -> ArcFaceWorker:
        return cls(runners, op.weights, op.flip)

    @classmethod
    def title(cls, manifests: Sequence[Manifest], op: OpConfig) -> str:
        return Recipe.of(manifests, op.weights, op.flip).name

    def concerns(self, request: RequestState) -> bool:
        return not request.options.want.isdisjoint(("embedding", "aligned"))

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        pairs = [
            (picture, face)
            for request in requests
            if "embedding" in request.options.want
            for picture, face in request.faces()
            if face.is_aligned
        ]
        samples = [(picture.rgb, face) for picture, face in pairs]
        if samples:
            for (_, face), embedding in zip(pairs, self.embeddings(samples, timing)):
                face.embedding = embedding
        for request in requests:
            if "aligned" in request.options.want:
                for picture, face in request.faces():
                    if face.landmarks is not None and face.is_aligned:
                        face.aligned = align(picture.rgb, face.landmarks)

    def embeddings(self, samples: Sequence[Sample], timing: Timing) -> np.ndarray:
        """(N, D) float32 of unit length."""
        return self._recipe.join([self._of(runner, samples, timing) for runner in self.runners])

    def _of(self, runner: Runner, samples: Sequence[Sample], timing: Timing) -> np.ndarray:
        """One network's."""
        if not self._recipe.flip:
            return np.array(runner.run(samples, timing))
        both = np.array(runner.run_mirrored(samples, timing))
        return of_unit_length(both.sum(axis=1))
