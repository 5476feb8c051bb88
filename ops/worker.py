"""A stage of the pipeline without the pipeline: what it does to requests.

The service runs stages inside Paddle Serving ops (see `ops/serving/stage_op.py`), `ops/local.py`
runs the same stages in process.
"""

from __future__ import annotations

import abc
import dataclasses
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engines.base import FP32, PADDLE
from inference.engines.choice import AUTO
from inference.manifest import Manifest
from inference.predictor import Model
from inference.runner import Runner, Timing
from ops.decoder_pool import DecoderPool
from ops.pictures.pixel_budget import PixelBudget
from ops.request_state import RequestState
from settings.config import Config
from settings.dag import OpConfig


class StageError(RuntimeError):
    """A stage that cannot do its work on this machine; the text says which and why."""


@dataclass(frozen=True)
class PipelineContext:
    """What workers may need of the pipeline that they are part of.

    budget: of decoded pixels. decoders: None where no process decodes costly pictures. models: by
    stage, the names of those that it runs. engines: by stage, what runs them, such as
    "openvino fp32".
    """

    config: Config
    budget: PixelBudget
    decoders: DecoderPool | None
    models: Mapping[str, str]
    engines: Mapping[str, str]


class Worker(abc.ABC):
    """What does a stage's work in one thread.

    on_cpu: whether its work keeps a core busy.
    """

    on_cpu = True

    @classmethod
    def in_pipeline(cls, context: PipelineContext) -> Worker:
        """A worker of the service; most need nothing of it."""
        del context
        return cls()

    def concerns(self, request: RequestState) -> bool:
        """Whether there is anything to do for a request; if not it is passed on as it is."""
        return True

    def can_resume(self, request: RequestState) -> bool:
        """Whether a request that the worker has postponed could go on now."""
        return True

    def give_up(self, request: RequestState) -> None:  # noqa: B027 - most workers postpone nothing
        """Forget a request that the worker has postponed and that nobody waits for any more."""

    @abc.abstractmethod
    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        """Do the stage's work on live requests: read and write the fields that are the stage's."""

    def warm_up(self) -> None:  # noqa: B027 - most workers have nothing to warm
        """Run once on nothing real, so that the first request does not pay for set-up."""


class ModelWorker(Worker):
    """A worker with a runner for each of the stage's models."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        self.runners = list(runners)
        self.on_cpu = all(runner.on_cpu for runner in self.runners)

    @classmethod
    def with_settings(cls, runners: Sequence[Runner], op: OpConfig) -> ModelWorker:
        """A worker as the stage's section of the settings wants it; most need no more of it."""
        del op
        return cls(runners)

    @classmethod
    def title(cls, manifests: Sequence[Manifest], op: OpConfig) -> str:
        """What every client is told of the stage's models."""
        del op
        return "+".join(manifest.name for manifest in manifests)

    def assist(self, pool: ModelPool, device: str) -> None:
        """Models that it may need beside its own, for some requests only, on the same device."""

    def warm_up(self) -> None:
        for runner in self.runners:
            runner.warm_up()


@dataclass(frozen=True)
class ModelSettings:
    """How a stage runs its models.

    threads: that compute one run on the processor. streams: threads that have predictors there.
    engine, precision: as in ``config.yml``.
    """

    batch_size: int = 1
    threads: int = 1
    streams: int = 1
    engine: str = AUTO
    precision: str = AUTO

    def of_assistant(self) -> ModelSettings:
        """Of a model that is loaded when a request needs it: what cannot fail by then."""
        return dataclasses.replace(
            self,
            batch_size=1,
            engine=PADDLE if self.engine == PADDLE else AUTO,
            precision=FP32 if self.precision == FP32 else AUTO,
        )


class ModelPool:
    """Loads each model once a device and hands out runners on predictors of it."""

    def __init__(self, model_dirs: Sequence[Path], settings: ModelSettings) -> None:
        self._dirs = list(model_dirs)
        self._settings = settings
        self._models: dict[str, list[Model]] = {}
        self._lock = threading.Lock()

    def models(self, device: str) -> list[Model]:
        """The models on "cpu", "gpu:N" or "gpu:UUID".

        Raises DeviceError, EngineError and ManifestError.
        """
        with self._lock:
            if device not in self._models:
                wanted = self._settings
                self._models[device] = [
                    Model.choose(
                        directory,
                        device,
                        wanted.threads,
                        engine=wanted.engine,
                        precision=wanted.precision,
                        batch_size=wanted.batch_size,
                        streams=wanted.streams,
                    )
                    for directory in self._dirs
                ]
            return self._models[device]

    def runners(self, device: str, options: Mapping[str, Any] | None = None) -> list[Runner]:
        """A runner for each model on a device; raises as :meth:`models`.

        options: in place of those in the models' manifests.
        """
        batch_size = self._settings.batch_size
        return [Runner(model, batch_size, options) for model in self.models(device)]
