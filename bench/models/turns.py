"""Sides that take turns within one measurement."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

# Runs of one side before the other's turn: its weights are in the cache again after the first.
_TURN = 5
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}


def medians(
    sides: Mapping[str, Callable[[], object]], seconds: float, clock: Callable[[], float]
) -> dict[str, float]:
    """Median milliseconds of each side, taking turns for about ``seconds`` altogether."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for run in sides.values():
        run()
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, run in sides.items():
            for _ in range(_TURN):
                start = clock()
                run()
                times[name].append((clock() - start) * 1000)
    return {name: float(np.median(values)) for name, values in times.items()}
