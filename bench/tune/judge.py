"""Whether one setting is faster than another, or it only looks so."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# The smallest difference that is believed: the code's place in memory alone makes one or two
# per cent from one start of a process to the next.
LEAST = 0.02
_HOPELESS_AFTER = 2


@dataclass(frozen=True)
class Verdict:
    """ratio: median of the rounds' ratios, above 1 where the new setting is faster.

    noise: how far from 1 it may be by chance.
    """

    ratio: float
    noise: float

    @property
    def better(self) -> bool:
        return self.ratio > 1.0 + self.noise


def judge(ratios: Sequence[float]) -> Verdict:
    """What the rounds say; ratios: new over present, each from runs one after the other.

    noise is twice the median distance of the rounds from their median, which is about two standard
    errors of the median of five rounds, and at least `LEAST`.
    Raises ValueError without rounds.
    """
    if not ratios:
        raise ValueError("there are no rounds to judge")
    middle = statistics.median(ratios)
    spread = statistics.median([abs(ratio - middle) for ratio in ratios])
    return Verdict(middle, max(2.0 * spread, LEAST))


def is_hopeless(ratios: Sequence[float]) -> bool:
    """Whether further rounds can be spared: it was slower each time, and by more than `LEAST`."""
    return len(ratios) >= _HOPELESS_AFTER and max(ratios) < 1.0 - LEAST
