"""Scores from 0 to 100 for cosines, the same in meaning for every recogniser.

0 at and below the mean cosine of different people, 80 at the threshold which one pair of
different people in a thousand exceeds, 100 at identity, straight lines between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# The score that means "the same person, at a false-accept rate of 1e-3".
SAME_PERSON = 80.0
HIGHEST = 100.0


@dataclass(frozen=True)
class Scores:
    """The mapping of one recogniser, from the two cosines that its manifest carries.

    impostor_mean: mean of pairs of different people. threshold: exceeded by one of a thousand of
        those. Raises ValueError unless -1 <= impostor_mean < threshold < 1.
    """

    impostor_mean: float
    threshold: float

    def __post_init__(self) -> None:
        if not -1.0 <= self.impostor_mean < self.threshold < 1.0:
            raise ValueError(
                f"impostor_mean {self.impostor_mean} and threshold {self.threshold}: "
                "-1 <= impostor_mean < threshold < 1 is expected"
            )

    def of_cosine(self, cosine: ArrayLike) -> np.ndarray:
        """Scores of cosines, any shape, as float64 from 0 to 100; NaN and -inf are 0."""
        cosines = np.nan_to_num(np.asarray(cosine, np.float64), nan=-1.0, posinf=1.0, neginf=-1.0)
        return np.interp(cosines, self._cosines, (0.0, SAME_PERSON, HIGHEST))

    def cosine_of(self, score: ArrayLike) -> np.ndarray:
        """The lowest cosine that has each score; for 0 and below that is -1."""
        scores = np.asarray(score, np.float64)
        cosines = np.interp(scores, (0.0, SAME_PERSON, HIGHEST), self._cosines)
        return np.where(scores <= 0.0, -1.0, cosines)

    @property
    def _cosines(self) -> tuple[float, float, float]:
        return (self.impostor_mean, self.threshold, 1.0)


@dataclass(frozen=True)
class Recogniser:
    """What makes the embeddings. name, dim: as its faces in the store bear them."""

    name: str
    dim: int
    scores: Scores
