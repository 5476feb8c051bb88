"""MediaPipe's face mesh (Kartynnik et al., 2019): 468 points of one face, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from inference.adapters.base import Adapter, write_channels
from inference.manifest import Manifest, ManifestError
from vision.face import Face, Landmarks
from vision.geometry import eye_angle, five_points, invert, rotated_square, transform, warp

POINTS = 468
# Vertices whose means are the five points, left and right as seen: corners and lids of each eye,
# nose tip, mouth corners.
LEFT_EYE = (33, 133, 159, 145)
RIGHT_EYE = (263, 362, 386, 374)
NOSE_AND_MOUTH = (1, 61, 291)

Context = tuple[np.ndarray, "np.ndarray | None"]


class FaceMesh(Adapter):
    """Input: RGB, 0 to 1, a square crop turned upright by the line of the eyes.

    A face without keypoints isn't turned: the mesh bears some 30 degrees of tilt.
    Options: ``scale``, side of the crop as a multiple of the box's; ``min_score``, under which
    the detector's own points are better, where it gives any.
    """

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.scale = manifest.option("scale", 1.5)
        self.min_score = manifest.option("min_score", 0.1)
        self._mesh = self._output(POINTS * 3)
        self._confidence = self._output(1)

    def _output(self, values: int) -> str:
        """The alias of the output of this width; a graph names its outputs by number only."""
        for spec in self.manifest.outputs:
            if spec.shape[1:] == (values,):
                return spec.alias
        raise ManifestError(f"{self.manifest.path}: outputs: none has the shape [-1, {values}]")

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> Context:
        """Crop about the face's box; raises ValueError without a face.

        The context is the transform back and the five points that the detector's keypoints give.
        """
        if face is None:
            raise ValueError(f"{self.manifest.name} needs a face")
        side = float((face.box[2:] - face.box[:2]).max()) * self.scale
        center = (face.box[:2] + face.box[2:]) / 2 - 0.5
        matrix = rotated_square(center, side, eye_angle(face.keypoints), self.side)
        crop = warp(picture, matrix, self.side, cv2.BORDER_CONSTANT)
        write_channels(crop, out, 1 / 255, 0.0)
        return invert(matrix), five_points(face.keypoints)

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Context]
    ) -> list[Landmarks]:
        """Landmarks in pixels of the picture."""
        if not contexts:
            return []
        back = np.stack([matrix for matrix, _ in contexts])
        meshes = outputs[self._mesh].reshape(-1, POINTS, 3).astype(np.float32)
        # The network counts from the crop's edge, the transforms from the first pixel's centre.
        meshes[..., :2] = transform(back, meshes[..., :2] - np.float32(0.5))
        meshes[..., 2] *= np.hypot(back[:, 0, 0], back[:, 1, 0])[:, None]
        points = mesh_points(meshes)
        scores = outputs[self._confidence].reshape(-1)
        return [
            Landmarks(
                points[i] if fallback is None or scores[i] >= self.min_score else fallback,
                meshes[i],
                float(scores[i]),
            )
            for i, (_, fallback) in enumerate(contexts)
        ]


def mesh_points(meshes: np.ndarray) -> np.ndarray:
    """The five points of meshes (N, 468, 3): (N, 5, 2) float32."""
    flat = meshes[..., :2]
    left, right = flat[:, LEFT_EYE].mean(axis=1), flat[:, RIGHT_EYE].mean(axis=1)
    rest = flat[:, NOSE_AND_MOUTH]
    return np.concatenate([left[:, None], right[:, None], rest], axis=1)
