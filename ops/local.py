"""The stages one after the other in this process: for benchmarks, checks and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.predictor import Model
from inference.runner import Runner, Timing
from ops.options import Options
from ops.request_state import Picture, RequestState
from ops.stages.arcface import ArcFaceWorker
from ops.stages.attributes import AttributesWorker
from ops.stages.detection import DetectionWorker
from ops.stages.landmark import LandmarkWorker
from ops.stages.liveness import LivenessWorker
from ops.worker import ModelWorker
from settings.config import load_config
from vision.face import Face


class Chain:
    """Detection, landmark, recognition and the rest on one thread.

    Each argument is a model directory as `convert` writes it; a stage without one is left
    out. batch_size: model inputs a run.
    """

    def __init__(
        self,
        detection: str | Path,
        landmark: str | Path | None = None,
        recognition: str | Path | None = None,
        attributes: Sequence[str | Path] = (),
        liveness: Sequence[str | Path] = (),
        device: str = "cpu",
        batch_size: int = 8,
    ) -> None:
        stages: list[tuple[type[ModelWorker], Iterable[str | Path | None]]] = [
            (DetectionWorker, [detection]),
            (LandmarkWorker, [landmark]),
            (ArcFaceWorker, [recognition]),
            (AttributesWorker, attributes),
            (LivenessWorker, liveness),
        ]
        self._workers: list[ModelWorker] = []
        for worker, directories in stages:
            models = [Model.load(d, device) for d in directories if d is not None]
            if models:
                self._workers.append(worker([Runner(model, batch_size) for model in models]))

    @classmethod
    def from_config(cls, path: str | Path = "config.yml") -> Chain:
        """The models that the service would run, on the CPU."""
        config = load_config(path)
        chosen = {name: config.chosen_models(name) for name in config.op}

        def single(stage: str) -> Path | None:
            return chosen[stage][0] if stage in chosen else None

        return cls(
            chosen["Detection"][0],
            single("Landmark"),
            single("ArcFace"),
            chosen.get("Attributes", []),
            chosen.get("Liveness", []),
        )

    def analyze(
        self,
        picture: np.ndarray,
        want: Iterable[str] = ("landmarks", "embedding"),
        aligned: bool = False,
        **options: Any,
    ) -> list[Face]:
        """The faces of one picture, largest first.

        picture: (H, W, 3) uint8, RGB, upright. want, aligned and the other options: as in
        :class:`ops.options.Options`.
        """
        height, width = picture.shape[:2]
        chosen = Options.model_validate({"want": frozenset(want), "aligned": aligned, **options})
        request = RequestState([Picture(pixels=picture, width=width, height=height)], chosen)
        timing = Timing()
        for worker in self._workers:
            worker.run([request], timing)
        return request.pictures[0].faces
