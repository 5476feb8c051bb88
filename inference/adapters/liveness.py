"""Silent liveness: is the face in front of the camera, from a small crop of one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from inference.adapters.base import Adapter, box_crop, write_channels
from inference.manifest import Manifest
from vision.face import Face


class Liveness(Adapter):
    """Input: BGR, 0 to 1, a tight upright square crop. Output: (N, 2), the second is live.

    It was trained on frames as OpenCV reads them: fed with RGB it calls everyone a fake. What it
    says depends on the crop more than is good; it is a hint, MiniFASNet is a check.
    Option ``scale``: side of the crop as a multiple of the box's longer side.
    """

    default_scale = 0.7
    bgr = True

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.scale = manifest.option("scale", self.default_scale)
        self._output = manifest.outputs[0].alias

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> None:
        """Crop about the face's box; raises ValueError without a face."""
        if face is None:
            raise ValueError(f"{self.manifest.name} needs a face")
        crop = box_crop(picture, face.box, self.scale, self.side)
        if self.bgr:
            crop = cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
        write_channels(crop, out, 1 / 255, 0.0)

    def decode(self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Any]) -> list[float]:
        """How live each face is, 0 to 1."""
        return [float(v) for v in outputs[self._output].reshape(len(contexts), -1)[:, -1]]
