"""Suppression of doubles: of several boxes of one face, one stays.

Boxes are (N, 4), x1 y1 x2 y2 in any one unit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every box (N, 4) with every other (M, 4); (N, M) float32."""
    shared, area, other_area = _areas(boxes, others)
    return _ratio(shared, area + other_area - shared)


def nesting(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of the smaller of two boxes that lies in the other; as :func:`overlaps`.

    1 where one box holds the other, whatever their sizes, whose overlap may be small.
    """
    shared, area, other_area = _areas(boxes, others)
    return _ratio(shared, np.minimum(area, other_area))


Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]


def suppress(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, measure: Measure = overlaps
) -> np.ndarray:
    """Greedy non-maximum suppression: indices of the boxes that stay, best score first.

    boxes: (N, 4); scores: (N,); a box goes when a better one that stays shares more than
    ``threshold`` with it, as ``measure`` says. Repeating "drop what a box that is still in
    suppresses" until nothing changes ends in the greedy result (Zheng et al., Cluster-NMS, IEEE
    Trans. Cybernetics 2022) and needs no loop over boxes. Memory is N x N; the adapters keep N low
    by their score floor.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
    suppresses = np.triu(measure(boxes[order], boxes[order]) > threshold, k=1)
    stays = np.ones(len(order), dtype=bool)
    while True:
        still = ~suppresses[stays].any(axis=0)
        if np.array_equal(still, stays):
            return order[stays]
        stays = still


def blend(
    values: np.ndarray, boxes: np.ndarray, scores: np.ndarray, kept: np.ndarray, threshold: float
) -> np.ndarray:
    """Replace each kept detection by the mean of its doubles, weighted by score.

    BlazeFace's remedy for boxes that jitter between anchors (Bazarevsky et al., 2019, section 5).
    A double belongs to the best kept box that overlaps it by more than ``threshold``.

    values: (N, D); boxes: (N, 4); scores: (N,); kept: (K,) indices as of :func:`suppress`.
    Returns (K, D) float32.
    """
    overlapping = overlaps(boxes[kept], boxes) > threshold
    overlapping[np.arange(len(kept)), kept] = True
    first = np.cumsum(overlapping, axis=0) == 1
    weights = (overlapping & first) * scores[None, :]
    mixed: np.ndarray = weights @ values / weights.sum(axis=1, keepdims=True)
    return mixed.astype(np.float32, copy=False)


def _areas(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each pair shares (N, M), and the areas (N, 1) and (1, M)."""
    top_left = np.maximum(boxes[:, None, :2], others[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    other_area = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    return shared, area[:, None], other_area[None, :]


def _ratio(shared: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return (shared / np.maximum(whole, 1e-9)).astype(np.float32, copy=False)
