"""The way of a picture through all stages on one thread: from base64 to embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.load.pictures import PictureSet
from inference.predictor import Model
from inference.runner import Runner, Timing
from ops.options import Options
from ops.pictures.pixel_budget import PixelBudget
from ops.registry import worker_class
from ops.request_state import Picture, RequestState
from ops.stages.request import RequestWorker
from ops.worker import ModelWorker, Worker
from settings.config import Limits

STAGES = ("Detection", "Landmark", "ArcFace")


class Chain:
    """Workers of the stages, each with a model that is run in a way of its own."""

    def __init__(self, models: Mapping[str, Sequence[Model]], batch: int) -> None:
        """models: by stage. batch: requests, and so faces, at a time."""
        self._workers: list[Worker] = [RequestWorker(Limits(), PixelBudget(1 << 60, 0))]
        for stage, of_stage in models.items():
            kind = worker_class(stage)
            assert issubclass(kind, ModelWorker)  # noqa: S101 - they have models
            self._workers.append(kind([Runner(model, batch) for model in of_stage]))
        self._batch = batch

    def run(self, pictures: PictureSet) -> list[RequestState]:
        """As many requests as a batch has, at once."""
        requests = [
            RequestState([Picture(encoded=text) for text in pictures.pictures], Options())
            for _ in range(self._batch)
        ]
        timing = Timing()
        for worker in self._workers:
            worker.run(requests, timing)
        return requests


def folders_of(chosen: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
    """Of each stage's models those of the chain."""
    return {stage: chosen[stage] for stage in STAGES if stage in chosen}
