"""How much memory of a GPU a tenant's models may take, as an upper bound.

Nothing is run. Of each model it counts the weights once, as threads share them, and for every
thread all tensors of the network at its largest batch, as if none ever gave its place to another.
That is several times what Paddle keeps, which leaves room for the libraries' workspaces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paddle

from convert.network.program import static_mode
from inference.manifest import Manifest
from settings.config import Config

# CUDA's context and the kernels of its libraries, of each process; rather too much.
PROCESS_BYTES = 1 << 30
_BYTES = 4
_NO_TENSORS = {"feed", "fetch"}


@dataclass(frozen=True)
class ModelNeed:
    """What a model of a stage takes at most.

    threads: that run it. batch: model inputs in one run. weights, sample: bytes of its weights,
    and of all tensors for one input.
    """

    stage: str
    model: str
    threads: int
    batch: int
    weights: int
    sample: int

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.weights + self.threads * self.batch * self.sample

    def largest_batch(self, room: int) -> int:
        """The largest batch with which it takes no more than `room` bytes; 0 where none does."""
        return max((room - self.weights) // (self.threads * self.sample), 0)


@dataclass(frozen=True)
class Need:
    """What a tenant takes of one GPU. processes: pipelines that share it."""

    models: tuple[ModelNeed, ...]
    processes: int = 1

    @property
    def bytes(self) -> int:
        """All of it."""
        return self.processes * (PROCESS_BYTES + sum(model.bytes for model in self.models))

    @property
    def largest(self) -> ModelNeed:
        """The model that takes most."""
        return max(self.models, key=lambda model: model.bytes)

    def room_for_largest(self, memory: int) -> int:
        """Of so many bytes, what all else leaves for that model."""
        return memory // self.processes - (self.bytes // self.processes - self.largest.bytes)


def need_of(config: Config, sample_bytes: Callable[[Path], int] | None = None) -> Need:
    """What the models of these settings take. Raises ConfigError and ManifestError.

    sample_bytes: of a program's file, the bytes of all its tensors for one input.
    """
    measure = sample_bytes or bytes_of_tensors
    found = []
    for stage, op in config.op.items():
        for directory in config.chosen_models(stage):
            manifest = Manifest.load(directory)
            batch = min(op.batch_size, manifest.max_batch or op.batch_size)
            found.append(
                ModelNeed(
                    stage, manifest.name, op.concurrency, batch,
                    manifest.parameters_path.stat().st_size, measure(manifest.program_path),
                )
            )  # fmt: skip
    return Need(tuple(found), config.replicas)


def bytes_of_tensors(program: Path) -> int:
    """Of a network, the bytes of all its tensors for one input. Free sizes count as 1."""
    with static_mode():
        described: Any = paddle.static.deserialize_program(program.read_bytes())
        tensors = [
            one for one in described.list_vars()
            if not one.persistable and one.name not in _NO_TENSORS
        ]  # fmt: skip
        return _BYTES * sum(math.prod(max(size, 1) for size in one.shape) for one in tensors)
