"""MiniFASNet of Silent-Face-Anti-Spoofing (MiniVision): live or re-captured.

Two of them see crops of different width, and what they say is averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from inference.adapters.base import Adapter, portrait_box, write_channels
from inference.manifest import Manifest, ManifestError
from vision.face import Face
from vision.geometry import resize

LIVE = 1


class MiniFasNet(Adapter):
    """Input: BGR, 0 to 255, the box enlarged and stretched to a square. Output: three classes.

    Options: ``scale``, how much the box is enlarged; ``output``, "logits" or "softmax".
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.scale = manifest.option("scale", 2.7)
        kind = manifest.option("output", "logits")
        if kind not in ("logits", "softmax"):
            raise ManifestError(
                f"{manifest.path}: options.output: {kind!r} should be logits or softmax"
            )
        self._softmax = kind == "logits"
        self._output = manifest.outputs[0].alias

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> None:
        """Crop about the face; raises ValueError without a face."""
        if face is None:
            raise ValueError(f"{self.manifest.name} needs a face")
        left, top, right, bottom = enlarged(portrait_box(face), self.scale, *picture.shape[1::-1])
        crop = resize(picture[top:bottom, left:right], self.sample_shape[2], self.sample_shape[1])
        write_channels(cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), out, 1.0, 0.0)

    def decode(self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Any]) -> list[float]:
        """How live each face is, 0 to 1."""
        values = outputs[self._output].reshape(len(contexts), -1)
        if self._softmax:
            values = np.exp(values - values.max(axis=1, keepdims=True))
            values = values / values.sum(axis=1, keepdims=True)
        return [float(v) for v in values[:, LIVE]]


def enlarged(box: np.ndarray, scale: float, width: int, height: int) -> tuple[int, int, int, int]:
    """A box about the same middle, ``scale`` times as large, shifted to lie in the picture.

    box: (4,) x1 y1 x2 y2; scale shrinks to what the picture holds. Returns left, top, right,
    bottom in whole pixels, at least one pixel each way.
    """
    sides = np.maximum(box[2:] - box[:2], 1.0)
    limits = np.array([width, height], dtype=np.float32)
    half = sides * min(scale, float((limits / sides).min())) / 2
    middle = np.clip((box[:2] + box[2:]) / 2, half, np.maximum(limits - half, half))
    left, top = np.clip(np.floor(middle - half), 0, limits - 1).astype(int)
    right, bottom = np.ceil(np.minimum(middle + half, limits)).astype(int)
    return left, top, max(right, left + 1), max(bottom, top + 1)
