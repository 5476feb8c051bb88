"""How well embeddings tell people apart: verification of pairs, and the nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The false-accept rate of the threshold that is told, and that scores are calibrated to.
RATE = 1e-3


@dataclass(frozen=True)
class Verification:
    """All pairs compared.

    tar: share of same-person pairs accepted, by the false-accept rate that the threshold allows;
    threshold: cosine at a false-accept rate of 1e-3; same_mean, different_mean: mean cosines.
    """

    same_pairs: int
    different_pairs: int
    tar: dict[float, float]
    threshold: float
    same_mean: float
    different_mean: float


@dataclass(frozen=True)
class Accepted:
    """What is accepted at a threshold from elsewhere: shares of the same-person and other pairs."""

    tar: float
    far: float


def threshold_at(different: np.ndarray, rate: float) -> float:
    """The lowest threshold at which at most ``rate`` of the pairs are falsely accepted.

    different: (N,) cosines of pairs of different people; a pair is accepted at a cosine above
    the threshold.
    """
    allowed = int(np.floor(rate * len(different)))
    if allowed >= len(different):
        return -1.0
    return float(np.partition(different, -allowed - 1)[-allowed - 1])


def verification(
    embeddings: np.ndarray, people: np.ndarray, rates: Sequence[float] = (1e-2, RATE)
) -> Verification:
    """Compare all pairs.

    embeddings: (N, D) of unit length; people: (N,) integer labels. Raises ValueError where there
    is no pair of one person or none of two people.
    """
    same, different = _cosines(embeddings, people)
    if not len(same) or not len(different):
        raise ValueError("accuracy needs two people, and two pictures of one of them")
    return Verification(
        same_pairs=len(same),
        different_pairs=len(different),
        tar={rate: float(np.mean(same > threshold_at(different, rate))) for rate in rates},
        threshold=threshold_at(different, RATE),
        same_mean=float(same.mean()),
        different_mean=float(different.mean()),
    )


def accepted_at(threshold: float, embeddings: np.ndarray, people: np.ndarray) -> Accepted:
    """All pairs compared at a threshold that was chosen without them."""
    same, different = _cosines(embeddings, people)
    return Accepted(float(np.mean(same > threshold)), float(np.mean(different > threshold)))


def accepted_crosswise(embeddings: np.ndarray, people: np.ndarray) -> Accepted | None:
    """Pairs within each half of the people, at the threshold that the other half gives.

    The halves are every other person in the order of the labels. None where a half has no pair of
    one person or none of two people.
    """
    numbers = np.unique(people, return_inverse=True)[1]
    halves = [_cosines(embeddings[numbers % 2 == half], people[numbers % 2 == half])
              for half in (0, 1)]  # fmt: skip
    if not all(len(cosines) for half in halves for cosines in half):
        return None
    right, wrong = [], []
    for (same, different), (_, others) in zip(halves, halves[::-1]):
        threshold = threshold_at(others, RATE)
        right.append(same > threshold)
        wrong.append(different > threshold)
    return Accepted(float(np.concatenate(right).mean()), float(np.concatenate(wrong).mean()))


def rank1(embeddings: np.ndarray, people: np.ndarray) -> float:
    """Share of the pictures whose nearest other picture shows the same person.

    Arguments as for :func:`verification`. A person's only picture can't be found and doesn't
    count; NaN where nobody has two.
    """
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    hits = people[cosines.argmax(axis=1)] == people
    _, label, count = np.unique(people, return_inverse=True, return_counts=True)
    findable = count[label] > 1
    return float(hits[findable].mean()) if findable.any() else float("nan")


def _cosines(embeddings: np.ndarray, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the pairs of one person, and of those of two."""
    first, second = np.triu_indices(len(people), k=1)
    cosines = (embeddings @ embeddings.T)[first, second]
    equal = people[first] == people[second]
    return cosines[equal], cosines[~equal]
