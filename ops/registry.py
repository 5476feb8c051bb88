"""From ``config.yml`` to the stages' workers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from inference.manifest import ManifestError
from inference.predictor import DeviceError
from ops.pictures.pixel_budget import PixelBudget
from ops.stages import arcface, attributes, detection, landmark, liveness
from ops.stages.arcface import ArcFaceWorker
from ops.stages.attributes import AttributesWorker
from ops.stages.decoding import Decoders
from ops.stages.detection import DetectionWorker
from ops.stages.landmark import LandmarkWorker
from ops.stages.liveness import LivenessWorker
from ops.stages.request import RequestWorker
from ops.stages.response import ResponseWorker
from ops.worker import ModelPool, ModelWorker, Worker, check_task
from settings.config import Config, ConfigError

_MODEL_STAGES: dict[str, tuple[ModuleType, type[ModelWorker]]] = {
    "Detection": (detection, DetectionWorker),
    "Landmark": (landmark, LandmarkWorker),
    "ArcFace": (arcface, ArcFaceWorker),
    "Attributes": (attributes, AttributesWorker),
    "Liveness": (liveness, LivenessWorker),
}


class Stages:
    """Builds workers for the stages of a configuration; models are loaded on demand, once.

    Raises ConfigError for models or devices that cannot be used.
    """

    def __init__(
        self,
        config: Config,
        budget: PixelBudget,
        replica: int = 0,
        decoders: Decoders | None = None,
    ) -> None:
        self._config = config
        self._decoders = decoders
        self._replica = replica
        self._budget = budget
        self._pools: dict[str, ModelPool] = {}
        self.models: dict[str, str] = {}
        for name in config.op:
            if name in _MODEL_STAGES:
                self._prepare(name)

    def _prepare(self, name: str) -> None:
        op = self._config.op[name]
        directories = self._config.chosen_models(name)
        try:
            manifests = check_task(name, _MODEL_STAGES[name][0].TASK, directories)
        except ValueError as error:
            raise ConfigError(f"{self._config.path}: op.{name}: {error}") from None
        self.models[name] = "+".join(manifest.name for manifest in manifests)
        self._pools[name] = ModelPool(directories, op.batch_size, op.threads)

    def worker(self, name: str, number: int) -> Worker:
        """The worker for thread `number` of a stage."""
        makers: dict[str, Callable[[], Worker]] = {
            "Request": lambda: RequestWorker(
                self._config.limits, self._budget, self._config.reduce_jpegs_to, self._decoders
            ),
            "Response": lambda: ResponseWorker(self.models),
        }
        if name in makers:
            return makers[name]()
        device = self._config.op[name].device(number, self._replica)
        try:
            return _MODEL_STAGES[name][1](self._pools[name].runners(device))
        except DeviceError as error:
            raise ConfigError(f"{self._config.path}: op.{name}.devices: {error}") from None
        except ManifestError as error:
            raise ConfigError(f"{self._config.path}: op.{name}: {error}") from None
