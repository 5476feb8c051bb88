"""The service's own networks in onnxruntime, with what goes before and after them in a few lines.

Nothing here is the service's code: a peer stays as fast as it is when the service changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import onnxruntime

from bench.peers.servers.server import Find, Found

# BlazeFace's anchors: cells a side and anchors a cell of the two feature maps.
_GRIDS = ((16, 2), (8, 6))
_MIN_SCORE = 0.4
_OVERLAP = 0.3
# Of the face mesh's vertices: corners and lids of each eye, then the nose's tip and the mouth's
# corners; the crop's side over the box's; how sure it has to be.
_EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
_REST = (1, 61, 291)
_CROP = 1.5
_MIN_MESH = 0.25


def load(files: Mapping[str, Any]) -> Find:
    """detection, landmark, recognition: of blazeface, facemesh, and a network of aligned faces.

    points: (5, 2), where those of an aligned face lie; mean: (3,) and scale: what is taken off its
    pixels, RGB, and what they are multiplied with.
    """
    detect = _BlazeFace(files["detection"])
    mesh = _FaceMesh(files["landmark"])
    embed = _Recogniser(files)

    def find(picture: np.ndarray) -> list[Found]:
        rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        boxes, scores, eyes = detect(rgb)
        if not len(boxes):
            return []
        points, sure = mesh(rgb, boxes, eyes)
        kept = np.flatnonzero(sure >= _MIN_MESH)
        if not len(kept):
            return []
        embeddings = embed(rgb, points[kept])
        return [
            Found(boxes[n], float(scores[n]), points[n], embedding)
            for n, embedding in zip(kept, embeddings)
        ]

    return find


class _Network:
    """A session with one thread, as there is a worker a core. side: of its square input."""

    def __init__(self, file: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.side = int(self._session.get_inputs()[0].shape[-1])

    def run(self, batch: np.ndarray) -> list[np.ndarray]:
        """Outputs for (N, 3, side, side) float32."""
        return list(self._session.run(None, {self._input: batch}))


class _BlazeFace(_Network):
    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._anchors = np.concatenate([_centers(self.side, *grid) for grid in _GRIDS])

    def __call__(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (N, 4), scores (N,) and eyes (N, 2, 2), left one first, in the picture's pixels."""
        scale = self.side / max(rgb.shape[:2])
        size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
        square = np.zeros((self.side, self.side, 3), np.uint8)
        square[: size[1], : size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        blob = cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5, 127.5, 127.5))
        outputs = self.run(blob)
        # Of each kind the finer map's first, which has more anchors.
        logits, values = (
            np.concatenate([one[0] for one in sorted(some, key=len, reverse=True)])
            for some in (
                [o for o in outputs if o.shape[-1] == 1],
                [o for o in outputs if o.shape[-1] > 1],
            )
        )
        scores = 1 / (1 + np.exp(-logits[:, 0]))
        chosen = np.flatnonzero(scores >= _MIN_SCORE)
        scores, values, centers = scores[chosen], values[chosen], self._anchors[chosen]
        middle, half = values[:, :2] + centers, values[:, 2:4] / 2
        rows = np.hstack([middle - half, middle + half, values[:, 4:8] + np.tile(centers, 2)])
        rows, scores = _mixed(rows, scores)
        return rows[:, :4] / scale, scores, rows[:, 4:].reshape(-1, 2, 2) / scale


def _centers(side: int, cells: int, each: int) -> np.ndarray:
    line = (np.arange(cells, dtype=np.float32) + 0.5) * (side / cells)
    x, y = np.meshgrid(line, line)
    return np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), each, axis=0)


def _mixed(rows: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A row a face: the mean, by score, of those whose boxes overlap (the paper's blending)."""
    order = np.argsort(-scores)
    mixed, best = [], []
    while len(order):
        first = rows[order[0]]
        low = np.maximum(rows[order, :2], first[:2])
        high = np.minimum(rows[order, 2:4], first[2:4])
        shared = np.maximum(high - low, 0).prod(axis=1)
        areas = (rows[order, 2:4] - rows[order, :2]).prod(axis=1)
        same = shared / (areas + areas[0] - shared) > _OVERLAP
        same[0] = True
        mixed.append(np.average(rows[order[same]], axis=0, weights=scores[order[same]]))
        best.append(scores[order[0]])
        order = order[~same]
    return np.array(mixed, np.float32).reshape(-1, rows.shape[1]), np.array(best, np.float32)


class _FaceMesh(_Network):
    def __call__(
        self, rgb: np.ndarray, boxes: np.ndarray, eyes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Five points (N, 5, 2) of each face in the picture's pixels, and how sure (N,)."""
        turns = [
            self._turn(box, right - left) for box, (left, right) in zip(boxes, eyes, strict=True)
        ]
        crops = [cv2.warpAffine(rgb, turn, (self.side, self.side)) for turn in turns]
        meshes, sure = self.run(cv2.dnn.blobFromImages(crops, 1 / 255))
        if meshes.shape[-1] == 1:
            meshes, sure = sure, meshes
        flat = meshes.reshape(len(crops), -1, 3)[..., :2]
        means = [flat[:, eye].mean(axis=1, keepdims=True) for eye in _EYES]
        five = np.concatenate([*means, flat[:, _REST]], axis=1)
        back = [cv2.invertAffineTransform(turn) for turn in turns]
        points = [one @ turn[:, :2].T + turn[:, 2] for one, turn in zip(five, back, strict=True)]
        return np.stack(points), sure.reshape(-1)

    def _turn(self, box: np.ndarray, along: np.ndarray) -> np.ndarray:
        """(2, 3): from the picture to a crop in which the line of the eyes is level."""
        middle = (box[:2] + box[2:]) / 2
        degrees = float(np.degrees(np.arctan2(along[1], along[0])))
        scale = self.side / (_CROP * float((box[2:] - box[:2]).max()))
        turn = cv2.getRotationMatrix2D((float(middle[0]), float(middle[1])), degrees, scale)
        turn[:, 2] += self.side / 2 - middle
        return turn


class _Recogniser(_Network):
    def __init__(self, files: Mapping[str, Any]) -> None:
        super().__init__(files["recognition"])
        self._points = np.array(files["points"], np.float32)
        self._mean, self._scale = files["mean"], files["scale"]

    def __call__(self, rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Embeddings (N, D) of faces with these points (N, 5, 2)."""
        size = (self.side, self.side)
        crops = [cv2.warpAffine(rgb, _similarity(five, self._points), size) for five in points]
        (embeddings,) = self.run(cv2.dnn.blobFromImages(crops, self._scale, mean=self._mean))
        return embeddings.reshape(len(crops), -1)


def _similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(2, 3): turns, scales and moves `source` onto `target`, both (N, 2), by least squares."""
    one, other = source @ (1, 1j), target @ (1, 1j)
    centred = one - one.mean()
    factor = (centred.conj() @ (other - other.mean())) / (centred.conj() @ centred)
    shift = other.mean() - factor * one.mean()
    return np.array(
        [[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]]
    )
