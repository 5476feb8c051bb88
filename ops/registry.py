"""From the table of stages and ``config.yml`` to the stages' workers."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from pathlib import Path

from inference.manifest import Manifest, ManifestError
from inference.predictor import DeviceError
from ops.decoder_pool import DecoderPool
from ops.pictures.pixel_budget import PixelBudget
from ops.worker import ModelPool, ModelWorker, PipelineContext, Worker
from settings.config import Config, ConfigError
from settings.stages import STAGES


def worker_class(stage: str) -> type[Worker]:
    """What does a stage's work."""
    found: type[Worker] = pkgutil.resolve_name(f"ops.stages.{STAGES[stage].worker}")
    return found


def check_models(stage: str, model_dirs: Sequence[Path]) -> list[Manifest]:
    """The models' manifests. Raises ManifestError for a model that is for another stage's task."""
    manifests = [Manifest.load(directory) for directory in model_dirs]
    for manifest in manifests:
        if manifest.task != STAGES[stage].task:
            raise ManifestError(
                f"model {manifest.name} is for {manifest.task}, not for {STAGES[stage].task}"
            )
    return manifests


class WorkerFactory:
    """Makes the workers of a configuration's stages; models are loaded on demand, once.

    models: by stage, the names of those that it runs, told to every client.
    Raises ConfigError for models or devices that cannot be used.
    """

    def __init__(
        self,
        config: Config,
        budget: PixelBudget,
        replica: int = 0,
        decoders: DecoderPool | None = None,
    ) -> None:
        self._config = config
        self._replica = replica
        self._pools: dict[str, ModelPool] = {}
        self._assistants: dict[str, ModelPool] = {}
        self.models: dict[str, str] = {}
        self._context = PipelineContext(config, budget, decoders, self.models)
        for name in config.op:
            if STAGES[name].task:
                self._prepare(name)

    def _prepare(self, name: str) -> None:
        op = self._config.op[name]
        directories = self._config.chosen_models(name)
        try:
            manifests = check_models(name, directories)
            assistant = self._config.small_faces_model(name)
            check_models(name, [] if assistant is None else [assistant])
        except ManifestError as error:
            raise ConfigError(f"{self._config.path}: op.{name}: {error}") from None
        self.models[name] = "+".join(manifest.name for manifest in manifests)
        self._pools[name] = ModelPool(directories, op.batch_size, op.threads)
        assistant = self._config.small_faces_model(name)
        if assistant is not None:
            self._assistants[name] = ModelPool([assistant], 1, op.threads)

    def worker(self, name: str, number: int) -> Worker:
        """The worker for thread `number` of a stage."""
        kind = worker_class(name)
        if not issubclass(kind, ModelWorker):
            return kind.in_pipeline(self._context)
        device = self._config.op[name].device(number, self._replica)
        try:
            made = kind(self._pools[name].runners(device))
            if name in self._assistants:
                made.assist(self._assistants[name], device)
            return made
        except DeviceError as error:
            raise ConfigError(f"{self._config.path}: op.{name}.devices: {error}") from None
        except ManifestError as error:
            raise ConfigError(f"{self._config.path}: op.{name}: {error}") from None
