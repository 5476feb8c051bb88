"""Made-up meshes of heads, for tests."""

from __future__ import annotations

import numpy as np

from vision.pose import _UPRIGHT, face_outlines, head_rotations


def upright_mesh() -> np.ndarray:
    """A mesh whose rigid part is the reference head, 100 pixels between the outer eye corners."""
    mesh = np.zeros((468, 3), np.float32)
    for vertex, point in _UPRIGHT.items():
        mesh[vertex] = np.multiply(point, 100)
    return mesh


def turned(mesh: np.ndarray, yaw: float, pitch: float, roll: float) -> np.ndarray:
    """A mesh turned by pitch, then yaw, then roll, in degrees, and moved."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_x = [[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]]
    rotation = np.array(about_z) @ np.array(about_y) @ np.array(about_x)
    return (mesh @ rotation.T + [320, 240, 0]).astype(np.float32)


def outline_of(mesh: np.ndarray) -> np.ndarray:
    """The outline (36, 2) of a mesh."""
    (outline,) = face_outlines(mesh[None], head_rotations(mesh[None]))
    return outline
