"""The 150 and the 72 points of the face API, from the 468 vertices of the face mesh.

Order and names are those of published answers of that API. The 72 points go from left to right
as seen in the picture, in step with `landmarks` (left eye first). In the names of the 150, left
and right are the subject's, so that `cheek_right_1` lies on the left of the picture. On the
points of two published answers an average mesh lay within 0.03 of the width between the outer eye
corners for eyes, brows and mouth, 0.05 for the nose.

The mesh has no iris: an eyeball's centre is the middle of the eye's opening, its sides are put
beside it at an iris's usual width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

# Contours as vertices of the mesh, from left to right as seen; the jaw from the ears to the chin.
_JAW = {
    "right": (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152),
    "left": (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152),
}
_EYELIDS = {
    ("right", "upper"): (33, 246, 161, 160, 159, 158, 157, 173, 133),
    ("right", "lower"): (33, 7, 163, 144, 145, 153, 154, 155, 133),
    ("left", "upper"): (362, 398, 384, 385, 386, 387, 388, 466, 263),
    ("left", "lower"): (362, 382, 381, 380, 374, 373, 390, 249, 263),
}
_LIPS = {
    ("upper", "outer"): (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    ("lower", "outer"): (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    ("upper", "inner"): (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
    ("lower", "inner"): (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
}
# Points that are vertices: corners, brows, nose.
_VERTICES = {
    "chin_2": 152,
    "eye_right_corner_right": 33,
    "eye_right_corner_left": 133,
    "eye_left_corner_right": 362,
    "eye_left_corner_left": 263,
    "mouth_corner_right_outer": 61,
    "mouth_corner_left_outer": 291,
    "mouth_corner_right_inner": 78,
    "mouth_corner_left_inner": 308,
    "eyebrow_right_corner_right": 46,
    "eyebrow_right_corner_left": 55,
    "eyebrow_left_corner_right": 285,
    "eyebrow_left_corner_left": 276,
    "nose_tip": 1,
    "nose_middle_contour": 2,
}
_ROWS = {
    "eyebrow_right_upper": (70, 63, 105, 66, 107),
    "eyebrow_right_lower": (53, 52, 65),
    "eyebrow_left_upper": (336, 296, 334, 293, 300),
    "eyebrow_left_lower": (295, 282, 283),
    "nose_bridge": (6, 195, 5),
    "nose_right_contour": (245, 174, 198, 64, 98, 60, 79),
    "nose_left_contour": (465, 399, 420, 294, 327, 290, 309),
}
# Between the ears: eleven points of a cheek, one of the chin, and its middle.
_JAW_STEPS = 12
_LID_POINTS = 7
_LIP_POINTS = 11
# Half the width of an iris as a share of the eye's width.
_IRIS = 0.21


def landmark150(mesh: np.ndarray) -> dict[str, tuple[float, float]]:
    """The 150 named points, x and y in the mesh's pixels.

    mesh: (468, 3) or (468, 2), as in :class:`vision.face.Landmarks`.
    """
    flat = np.asarray(mesh, dtype=np.float64)[:, :2]
    points = {name: flat[vertex] for name, vertex in _VERTICES.items()}
    for name, vertices in _ROWS.items():
        points.update(_numbered(name, flat[list(vertices)]))
    for side, chin in (("right", "chin_1"), ("left", "chin_3")):
        jaw = _spread(flat[list(_JAW[side])], np.arange(_JAW_STEPS) / _JAW_STEPS)
        points.update(_numbered(f"cheek_{side}", jaw[:-1]))
        points[chin] = jaw[-1]
    for (side, lid), vertices in _EYELIDS.items():
        row = _spread(flat[list(vertices)], _between(_LID_POINTS))
        points.update(_numbered(f"eye_{side}_eyelid_{lid}", row))
    for (lip, edge), vertices in _LIPS.items():
        row = _spread(flat[list(vertices)], _between(_LIP_POINTS))
        points.update(_numbered(f"mouth_lip_{lip}_{edge}", row))
    for side in ("right", "left"):
        points.update(_eyeball(side, points))
    return {name: (float(x), float(y)) for name, (x, y) in points.items()}


def landmark72(mesh: np.ndarray) -> np.ndarray:
    """The 72 points, (72, 2) float32, x and y in the mesh's pixels; mesh as of `landmark150`.

    0 to 12 the jaw, from the left ear over the chin to the right one; 13 to 20 the left eye from
    its left corner over the upper lid, 21 its centre; 22 to 29 the left brow likewise; 30 to 38
    and 39 to 46 the right ones; 47 to 56 the nose from the left of the bridge round to the right,
    57 its tip; 58 to 65 the outer lips from the left corner over the top, 66 to 71 the inner ones.
    Left and right as seen in the picture.
    """
    points = landmark150(mesh)
    return np.array([points[name] for name in _ORDER_72], dtype=np.float32)


def _numbered(name: str, points: np.ndarray) -> dict[str, np.ndarray]:
    """``name_1``, ``name_2``, ... for points (K, 2)."""
    return {f"{name}_{number}": point for number, point in enumerate(points, 1)}


def _between(count: int) -> np.ndarray:
    """Shares of a contour at which `count` points divide it evenly, its ends left out."""
    shares: np.ndarray = np.arange(1, count + 1) / (count + 1)
    return shares


def _spread(contour: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Points at shares (M,) of the length of a contour (K, 2): (M, 2)."""
    steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    lengths = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = shares * lengths[-1]
    return np.stack([np.interp(wanted, lengths, contour[:, axis]) for axis in (0, 1)], axis=1)


def _eyeball(side: str, points: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The eyeball's centre and sides, from the lids and the corners."""
    name = f"eye_{side}"
    lids = [points[f"{name}_eyelid_{lid}_{n}"] for lid in ("upper", "lower") for n in (3, 4, 5)]
    center = np.mean(lids, axis=0)
    half = (points[f"{name}_corner_left"] - points[f"{name}_corner_right"]) * _IRIS
    return {
        f"{name}_eyeball_center": center,
        f"{name}_eyeball_right": center - half,
        f"{name}_eyeball_left": center + half,
    }


def _order_72() -> list[str]:
    """Names of the 72 points among the 150, in order."""
    odd, even = range(1, 12, 2), (2, 4, 6)
    names = [f"cheek_right_{n}" for n in odd] + ["chin_2"]
    names += [f"cheek_left_{n}" for n in reversed(odd)]
    for side in ("right", "left"):
        eye, brow = f"eye_{side}", f"eyebrow_{side}"
        names += [f"{eye}_corner_right", *_series(f"{eye}_eyelid_upper", even)]
        names += [f"{eye}_corner_left", *_series(f"{eye}_eyelid_lower", even[::-1])]
        names += [f"{eye}_eyeball_center"]
        names += [f"{brow}_corner_right", *_series(f"{brow}_upper", (2, 3, 4))]
        names += [f"{brow}_corner_left", *_series(f"{brow}_lower", (3, 2, 1))]
    names += _series("nose_right_contour", (1, 2, 3, 4, 6))
    names += [*_series("nose_left_contour", (6, 4, 3, 2, 1)), "nose_tip"]
    thirds = (3, 6, 9)
    names += ["mouth_corner_right_outer", *_series("mouth_lip_upper_outer", thirds)]
    names += ["mouth_corner_left_outer", *_series("mouth_lip_lower_outer", thirds[::-1])]
    names += _series("mouth_lip_upper_inner", thirds)
    return names + _series("mouth_lip_lower_inner", thirds[::-1])


def _series(name: str, numbers: Sequence[int]) -> list[str]:
    return [f"{name}_{number}" for number in numbers]


_ORDER_72 = _order_72()
