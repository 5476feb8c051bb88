"""One model in one thread: samples in, results out, in batches."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inference.adapters import create_adapter
from inference.predictor import Model
from vision.face import Face

Sample = tuple[np.ndarray, Face | None]


@dataclass
class Timing:
    """Seconds that a batch spent in each part of a stage."""

    prepare: float = 0.0
    infer: float = 0.0
    decode: float = 0.0


class Runner:
    """A model's adapter with a predictor of its own; for one thread.

    batch_size: most samples in one run; a model that was made for single samples gets them
    one by one. options: of the model's family, in place of the manifest's.
    """

    def __init__(
        self, model: Model, batch_size: int, options: Mapping[str, Any] | None = None
    ) -> None:
        self.manifest = model.manifest
        if options:
            self.manifest = replace(self.manifest, options={**self.manifest.options, **options})
        self.on_cpu = model.device == "cpu"
        self.adapter = create_adapter(self.manifest)
        self._predictor = model.predictor()
        self._batch_size = min(batch_size, self.manifest.max_batch or batch_size)
        self._buffer = np.zeros((self._batch_size, *self.adapter.sample_shape), np.float32)

    def run(self, samples: Sequence[Sample], timing: Timing) -> list[Any]:
        """Results of the adapter's `decode`, one a sample, in order.

        samples: (picture (H, W, 3) uint8 RGB, face or None).
        """
        results: list[Any] = []
        for start in range(0, len(samples), self._batch_size):
            results += self._run_batch(samples[start : start + self._batch_size], timing)
        return results

    def warm_up(self) -> None:
        """Run a black picture in batches of every size, the largest first.

        Kernels are made for each size on its first run: better at start than under load. In
        this order the memory of the largest batch serves the smaller ones; in the other one
        it is taken anew for each size, and twice as much is held in the end.
        """
        black = np.zeros((8, 8, 3), np.uint8)
        contexts = []
        if self.manifest.task == "detection":
            contexts = [self.adapter.prepare(black, None, out) for out in self._buffer]
        for size in range(self._batch_size, 0, -1):
            extra = self.adapter.extra_feeds(contexts[:size]) if contexts else {}
            self._predictor.run({"image": self._buffer[:size], **extra})

    def _run_batch(self, samples: Sequence[Sample], timing: Timing) -> list[Any]:
        started = time.perf_counter()
        batch = self._buffer[: len(samples)]
        contexts = [self.adapter.prepare(p, face, out) for (p, face), out in zip(samples, batch)]
        feeds = {"image": batch, **self.adapter.extra_feeds(contexts)}
        prepared = time.perf_counter()
        outputs = self._predictor.run(feeds)
        inferred = time.perf_counter()
        results = self.adapter.decode(outputs, contexts)
        timing.prepare += prepared - started
        timing.infer += inferred - prepared
        timing.decode += time.perf_counter() - inferred
        return results
