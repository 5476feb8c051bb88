"""How a head stands, from its 3-D mesh: yaw, pitch and roll, and where its outline would be.

The rigid part of the mesh (forehead, temples, eye corners, bridge of the nose) is laid over the
same points of an upright frontal head by the rotation that fits best (Kabsch, Acta Cryst. A32,
1976). That rotation is taken apart from the outside in: roll in the picture's plane, then yaw,
then pitch, so that turning the picture changes nothing but the roll.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Vertex: x to the right, y down, z away from the camera, in widths between the outer eye corners.
# The mean over the meshes of 124 portraits of six people and their mirror images, laid over each
# other by rotation; the bridge of the nose is upright, and zero pitch is the portraits' median.
_UPRIGHT = {
    10: (0, -0.367, -0.283),
    151: (0, -0.185, -0.31),
    9: (0, 0.003, -0.325),
    8: (0, 0.097, -0.304),
    168: (0, 0.177, -0.293),
    6: (0, 0.27, -0.335),
    197: (0, 0.355, -0.384),
    33: (-0.5, 0.199, -0.042),
    263: (0.5, 0.199, -0.042),
    133: (-0.193, 0.225, -0.104),
    362: (0.193, 0.225, -0.104),
    127: (-0.781, 0.216, 0.504),
    356: (0.781, 0.216, 0.504),
    162: (-0.772, 0.055, 0.381),
    389: (0.772, 0.055, 0.381),
    21: (-0.736, -0.072, 0.231),
    251: (0.736, -0.072, 0.231),
    54: (-0.665, -0.189, 0.087),
    284: (0.665, -0.189, 0.087),
    103: (-0.553, -0.28, -0.059),
    332: (0.553, -0.28, -0.059),
    67: (-0.387, -0.338, -0.187),
    297: (0.387, -0.338, -0.187),
    109: (-0.208, -0.364, -0.261),
    338: (0.208, -0.364, -0.261),
    234: (-0.771, 0.372, 0.566),
    454: (0.771, 0.372, 0.566),
}
# The jaw of the same mean, which moves and takes no part in the fit; from ear to ear.
_JAW = (
    (-0.76, 0.533, 0.583),
    (-0.737, 0.707, 0.57),
    (-0.686, 0.891, 0.523),
    (-0.612, 1.042, 0.425),
    (-0.527, 1.154, 0.314),
    (-0.423, 1.25, 0.222),
    (-0.336, 1.316, 0.149),
    (-0.244, 1.373, 0.073),
    (-0.137, 1.414, 0.022),
    (0, 1.428, 0.002),
    (0.137, 1.414, 0.022),
    (0.244, 1.373, 0.073),
    (0.336, 1.316, 0.149),
    (0.423, 1.25, 0.222),
    (0.527, 1.154, 0.314),
    (0.612, 1.042, 0.425),
    (0.686, 0.891, 0.523),
    (0.737, 0.707, 0.57),
    (0.76, 0.533, 0.583),
)
# From the right ear over the forehead to the left one, as seen, for the rest of the outline.
_BROW = (454, 356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127, 234)

_VERTICES = np.array(list(_UPRIGHT))
_REFERENCE = np.array(list(_UPRIGHT.values()), dtype=np.float32)
_OUTLINE = np.array([*_JAW, *(_UPRIGHT[vertex] for vertex in _BROW)], dtype=np.float32)
_OUTLINE -= _REFERENCE.mean(axis=0)
_REFERENCE -= _REFERENCE.mean(axis=0)


@dataclass(frozen=True)
class Heads:
    """The heads of N meshes: how the upright head is laid over the rigid part of each.

    rotations: (N, 3, 3), as of :func:`head_rotations`. middles: (N, 1, 3) in pixels and scales:
    (N,) in pixels a width between the outer eye corners, of the rigid part.
    bends: (N,) in those widths, root mean square distance of the rigid part's coordinates from the
    upright head's; 0.015 in the median of upright faces.
    """

    rotations: np.ndarray
    middles: np.ndarray
    scales: np.ndarray
    bends: np.ndarray

    @classmethod
    def of(cls, meshes: np.ndarray) -> Heads:
        """Of meshes (N, 468, 3), x y z in pixels, as in :class:`vision.face.Landmarks`."""
        rotations = head_rotations(meshes)
        points = meshes[:, _VERTICES]
        middles = points.mean(axis=1, keepdims=True)
        turned = (points - middles) @ rotations
        scales = (turned * _REFERENCE).sum(axis=(1, 2)) / np.square(_REFERENCE).sum()
        scales = np.maximum(scales, 1e-6)
        offsets = turned / scales[:, None, None] - _REFERENCE
        bends = np.sqrt(np.square(offsets).mean(axis=(1, 2)))
        return cls(rotations, middles, scales, np.maximum(bends, 1e-6))

    def in_frame(self, points: np.ndarray) -> np.ndarray:
        """Points (N, K, 3) in the upright head's frame: in widths from its middle."""
        placed: np.ndarray = (points - self.middles) @ self.rotations / self.scales[:, None, None]
        return placed


def head_rotations(meshes: np.ndarray) -> np.ndarray:
    """The rotations (N, 3, 3) that take the upright head to meshes (N, 468, 3)."""
    # The reference's mean is zero, so that the points' own mean falls out of the product.
    spread = np.swapaxes(meshes[:, _VERTICES], 1, 2) @ _REFERENCE
    left, _, right = np.linalg.svd(spread)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]
    rotations: np.ndarray = left @ right
    return rotations


def head_angles(rotations: np.ndarray) -> np.ndarray:
    """Angles of heads, (N, 3) float32: yaw, pitch, roll in degrees.

    rotations: of :func:`head_rotations`.
    yaw: -90 to 90, positive where the face points to the left of the picture (the subject's
    right), so that the mirrored picture has the opposite yaw. pitch: -180 to 180, positive where
    the face looks down. roll: -180 to 180, positive where the head is turned clockwise as seen.
    """
    yaw = np.arcsin(np.clip(-rotations[:, 2, 0], -1.0, 1.0))
    pitch = np.arctan2(rotations[:, 2, 1], rotations[:, 2, 2])
    roll = np.arctan2(rotations[:, 1, 0], rotations[:, 0, 0])
    degrees: np.ndarray = np.degrees(np.stack([yaw, pitch, roll], axis=1)).astype(np.float32)
    return degrees


def face_outlines(meshes: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """Outlines of average faces that stand like these, (N, 36, 2) float32, in pixels.

    meshes: (N, 468, 3), x y z in pixels, as in :class:`vision.face.Landmarks`; rotations: theirs.
    Unlike the mesh's own outline, which the model squeezes into what the picture shows of a face
    that was cut off, this one keeps a face's proportions.
    """
    points = meshes[:, _VERTICES]
    turned = np.swapaxes(rotations, 1, 2)
    scales = (points * (_REFERENCE @ turned)).sum(axis=(1, 2)) / np.square(_REFERENCE).sum()
    outlines = (_OUTLINE @ turned)[..., :2] * scales[:, None, None]
    placed: np.ndarray = outlines + points[..., :2].mean(axis=1, keepdims=True)
    return placed.astype(np.float32)
