"""From the table of stages and ``config.yml`` to the stages' workers."""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from pathlib import Path

from inference.devices import DeviceError
from inference.engines.base import EngineError
from inference.manifest import Manifest, ManifestError
from inference.predictor import Model
from ops.decoder_pool import DecoderPool
from ops.pictures.pixel_budget import PixelBudget
from ops.worker import ModelPool, ModelSettings, ModelWorker, PipelineContext, Worker
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

    models: by stage, the names of those that it runs, told to every client. engines: by stage,
    what runs them. running: the models themselves, by stage. notes: lines about what could not be
    run as fast as it might.
    Raises ConfigError for models, devices or engines that cannot be used.
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
        self.engines: dict[str, str] = {}
        self.running: dict[str, list[Model]] = {}
        self.notes: list[str] = []
        self._context = PipelineContext(config, budget, decoders, self.models, self.engines)
        for name in config.op:
            kind = worker_class(name)
            if issubclass(kind, ModelWorker):
                self._prepare(name, kind)

    def _prepare(self, name: str, kind: type[ModelWorker]) -> None:
        op = self._config.op[name]
        directories = self._config.chosen_models(name)
        try:
            manifests = check_models(name, directories)
            self.models[name] = kind.title(manifests, op)
            assistant = self._config.small_faces_model(name)
            check_models(name, [] if assistant is None else [assistant])
        except ManifestError as error:
            raise ConfigError(f"{self._config.path}: op.{name}: {error}") from None
        devices = dict.fromkeys(op.device(n, self._replica) for n in range(op.concurrency))
        settings = ModelSettings(op.batch_size, op.threads, op.concurrency, op.engine, op.precision)
        self._pools[name] = ModelPool(directories, settings)
        if assistant is not None:
            self._assistants[name] = ModelPool([assistant], settings.of_assistant())
        each = [self._loaded(name, device) for device in devices]
        self.running[name] = each[0]
        ways = [str(model.way) for model in each[0]]
        self.engines[name] = ways[0] if len(set(ways)) == 1 else "+".join(ways)
        self.notes += [f"{name}: {note}" for model in each[0] for note in model.notes]

    def _loaded(self, name: str, device: str) -> list[Model]:
        key = f"{self._config.path}: op.{name}"
        try:
            return self._pools[name].models(device)
        except DeviceError as error:
            raise ConfigError(f"{key}.devices: {error}") from None
        except (EngineError, ManifestError) as error:
            raise ConfigError(f"{key}: {error}") from None

    def worker(self, name: str, number: int) -> Worker:
        """The worker for thread `number` of a stage."""
        kind = worker_class(name)
        if not issubclass(kind, ModelWorker):
            return kind.in_pipeline(self._context)
        op = self._config.op[name]
        device = op.device(number, self._replica)
        made = kind.with_settings(self._pools[name].runners(device), op)
        if name in self._assistants:
            made.assist(self._assistants[name], device)
        return made
