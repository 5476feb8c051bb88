"""The stages one after the other in this process: for benchmarks, checks and scripts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference.runner import Timing
from ops.options import Options
from ops.registry import check_models, worker_class
from ops.request_state import Picture, RequestState
from ops.worker import ModelPool, ModelSettings, ModelWorker, Worker
from settings.config import load_config
from settings.dag import OpConfig
from settings.stages import FIRST, LAST, STAGES
from vision.face import Face


class LocalPipeline:
    """Stages on one thread, from a picture's pixels to its faces.

    models: by stage, the directories of its models as `convert` writes them, none for a stage that
    runs no model. batch_size: model inputs a run. ops: by stage, its settings other than those;
    without, the fastest engine and precision that are right. small_faces: the directory of the
    model that searches for those, for `smallest_face`. A stage that is not named is left out.
    Raises ManifestError for a model that cannot be used or is for another stage, EngineError for
    an engine or a precision that it cannot be run with.
    """

    def __init__(
        self,
        models: Mapping[str, Sequence[Path]],
        device: str = "cpu",
        batch_size: int = 8,
        ops: Mapping[str, OpConfig] | None = None,
        small_faces: Path | None = None,
    ) -> None:
        order = list(STAGES)
        self._workers: list[Worker] = []
        for stage in sorted(models, key=order.index):
            kind, directories = worker_class(stage), models[stage]
            if issubclass(kind, ModelWorker):
                check_models(stage, directories)
                op = (ops or {}).get(stage, OpConfig())
                wanted = ModelSettings(batch_size, engine=op.engine, precision=op.precision)
                runners = ModelPool(directories, wanted).runners(device)
                worker = kind.with_settings(runners, op)
                if small_faces is not None and stage == "Detection":
                    worker.assist(ModelPool([small_faces], wanted.of_assistant()), device)
                self._workers.append(worker)
            else:
                self._workers.append(kind())

    @classmethod
    def from_config(cls, path: str | Path = "config.yml") -> LocalPipeline:
        """The stages and models that the service would run, on the CPU."""
        config = load_config(path)
        stages = [name for name in config.op if name not in (FIRST, LAST)]
        models = {name: config.chosen_models(name) for name in stages}
        return cls(models, ops=config.op, small_faces=config.small_faces_model())

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
        smallest = chosen.smallest_face or 0
        sent = Picture(pixels=picture, width=width, height=height, smallest_face=smallest)
        request = RequestState([sent], chosen)
        timing = Timing()
        for worker in self._workers:
            worker.run([request], timing)
        return request.pictures[0].faces
