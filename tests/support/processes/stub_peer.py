"""A peer without networks: it finds the faces that it was told, in every picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.peers.servers.server import Find, Found


def load(files: Mapping[str, Any]) -> Find:
    """faces: how many. dim: of their embeddings. Fails with KeyError where one is not said."""
    faces, dim = files["faces"], files["dim"]

    def find(picture: np.ndarray) -> list[Found]:
        height, width = picture.shape[:2]
        box = np.array([0, 0, width, height])
        points = np.full((5, 2), (width / 2, height / 2))
        return [Found(box, 0.9, points, np.arange(1.0, dim + 1)) for _ in range(faces)]

    return find
