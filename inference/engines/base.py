"""What an engine is to the rest: a network on a device, and a predictor of it for each thread."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PADDLE, OPENVINO, TENSORRT = "paddle", "openvino", "tensorrt"
FP32, BF16, FP16 = "fp32", "bf16", "fp16"


class EngineError(ValueError):
    """A way to run a model that was asked for and cannot be had; the text says why."""


@dataclass(frozen=True)
class Way:
    """How a model is run: by which engine, in which precision."""

    engine: str = PADDLE
    precision: str = FP32

    def __str__(self) -> str:
        return f"{self.engine} {self.precision}"


# What every other way is compared to.
REFERENCE = Way()


class Predictor(abc.ABC):
    """For one thread at a time."""

    @abc.abstractmethod
    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network.

        feeds: alias to C-contiguous array, for every input of the manifest.
        Returns alias to array, for every output of the manifest. Releases the GIL meanwhile.
        """


class Network(abc.ABC):
    """A model that an engine has loaded onto a device."""

    @abc.abstractmethod
    def predictor(self) -> Predictor:
        """A predictor for one more thread; the weights are shared."""
