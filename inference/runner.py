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
        self._sizes = run_sizes(self._batch_size)
        # Room for a sample and its mirror image, also where the model takes them one by one.
        self._buffer = np.zeros((max(2, self._batch_size), *self.adapter.sample_shape), np.float32)

    def run(self, samples: Sequence[Sample], timing: Timing) -> list[Any]:
        """Results of the adapter's `decode`, one a sample, in order.

        samples: (picture (H, W, 3) uint8 RGB, face or None).
        """
        results: list[Any] = []
        for start in range(0, len(samples), self._batch_size):
            results += self._run_batch(samples[start : start + self._batch_size], timing)
        return results

    def run_mirrored(self, samples: Sequence[Sample], timing: Timing) -> list[tuple[Any, Any]]:
        """As :meth:`run`, of each sample and of its mirror image: the input's columns reversed."""
        results: list[tuple[Any, Any]] = []
        step = max(1, self._batch_size // 2)
        for start in range(0, len(samples), step):
            chosen = samples[start : start + step]
            both = self._run_batch(chosen, timing, mirrored=True)
            results += zip(both[: len(chosen)], both[len(chosen) :])
        return results

    def warm_up(self) -> None:
        """Run a black picture in batches of every size that is run, the largest first.

        Kernels are made for each size on its first run: better at start than under load. In
        this order the memory of the largest batch serves the smaller ones; in the other one
        it is taken anew for each size, and twice as much is held in the end.
        """
        black = np.zeros((8, 8, 3), np.uint8)
        contexts = []
        if self.manifest.task == "detection":
            contexts = [self.adapter.prepare(black, None, out) for out in self._buffer]
        for size in self._sizes:
            extra = self.adapter.extra_feeds(contexts[:size]) if contexts else {}
            self._predictor.run({"image": self._buffer[:size], **extra})

    def _run_batch(
        self, samples: Sequence[Sample], timing: Timing, mirrored: bool = False
    ) -> list[Any]:
        """Results of the samples, and with `mirrored` those of their mirror images after them."""
        started = time.perf_counter()
        batch = self._buffer[: len(samples)]
        contexts = [self.adapter.prepare(p, face, out) for (p, face), out in zip(samples, batch)]
        if mirrored:
            self._buffer[len(samples) : 2 * len(samples)] = batch[..., ::-1]
            contexts += contexts
        prepared = time.perf_counter()
        outputs = self._infer(contexts)
        inferred = time.perf_counter()
        results = self.adapter.decode(outputs, contexts)
        timing.prepare += prepared - started
        timing.infer += inferred - prepared
        timing.decode += time.perf_counter() - inferred
        return results

    def _infer(self, contexts: Sequence[Any]) -> dict[str, np.ndarray]:
        """Outputs for what stands in the buffer, a sample for each context."""
        parts = []
        start = 0
        while start < len(contexts):
            chosen = contexts[start : start + part_of(len(contexts) - start, self._sizes)]
            feeds = {"image": self._buffer[start : start + len(chosen)]}
            parts.append(self._predictor.run({**feeds, **self.adapter.extra_feeds(chosen)}))
            start += len(chosen)
        if len(parts) == 1:
            return parts[0]
        return {alias: np.concatenate([part[alias] for part in parts]) for alias in parts[0]}


def run_sizes(most: int) -> tuple[int, ...]:
    """Sizes of the batches that are run where up to `most` come together, the largest first.

    Powers of two, those one and a half times, and `most`. oneDNN keeps a network's weights anew for
    each size that a thread has run, 6 MB of `mobilefacenet_128`, 25 of `face_resnet_128`; the first
    takes 7 % longer for five as 3 and 2, and for seven as 4 and 3.
    """
    powers = [2**exponent for exponent in range(most.bit_length())]
    sizes = {*powers, *(power * 3 // 2 for power in powers[1:]), most}
    return tuple(sorted((size for size in sizes if size <= most), reverse=True))


def part_of(count: int, sizes: Sequence[int]) -> int:
    """How many of `count` samples are run at once; never such that a single one is left over.

    sizes: as of :func:`run_sizes`.
    """
    if count in sizes:
        return count
    # One that is left over would cost the most. Of what is between two sizes 2 and 3 stay at least.
    return next(size for size in sizes if size <= max(1, count - 2) or size == 1)
