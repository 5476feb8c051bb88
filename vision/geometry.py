"""Plane geometry of faces: similarity transforms, crops, letterboxing.

Points are x, y; a coordinate counts from the centre of the top left pixel, as OpenCV's warps do.
A transform is a 2x3 matrix that takes a column (x, y, 1) to a point.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Reference points of a 112x112 face: left eye, right eye, nose, left and right mouth corner, left
# and right as seen in the picture. From ArcFace (Deng et al., CVPR 2019), the InsightFace project.
ARCFACE_SIZE = 112
ARCFACE_POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float32,
)

# The same five points as shares of the side, for dlib's face recognition network: dlib's mean face
# shape with a padding of 0.25, moved down by 0.0125, for points from a face mesh. Between 0.005 and
# 0.02 the accuracy is much the same, beyond it falls.
DLIB_POINTS = np.array(
    [
        [0.3170, 0.3232],
        [0.6698, 0.3232],
        [0.4934, 0.5229],
        [0.3361, 0.6993],
        [0.6507, 0.6993],
    ],
    dtype=np.float32,
)

# A side of a picture must be shorter for OpenCV's warps, which count in 16 bits.
OPENCV_LIMIT = 2**15 - 2

# Half the width of the mouth as a share of the distance of the eyes, in ARCFACE_POINTS.
_HALF_MOUTH = 0.414


def fit_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares rotation, uniform scale and shift that takes points to points.

    In the plane, the optimum of Umeyama (PAMI 1991) without reflection is linear in the two
    numbers a, b of the matrix [[a, -b], [b, a]], hence this closed form.

    source: (..., K, 2); target: (..., K, 2) or (K, 2). Returns (..., 2, 3) float32.
    Source points that coincide give a pure shift.
    """
    source = np.asarray(source, dtype=np.float32)
    target = np.broadcast_to(np.asarray(target, dtype=np.float32), source.shape)
    source_mean = source.mean(axis=-2)
    target_mean = target.mean(axis=-2)
    p = source - source_mean[..., None, :]
    q = target - target_mean[..., None, :]
    spread = np.square(p).sum(axis=(-2, -1))
    degenerate = spread <= 1e-12
    spread = np.where(degenerate, 1.0, spread)
    a = np.where(degenerate, 1.0, (p * q).sum(axis=(-2, -1)) / spread)
    cross = p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]
    b = np.where(degenerate, 0.0, cross.sum(axis=-1) / spread)
    matrix = np.empty((*source.shape[:-2], 2, 3), dtype=np.float32)
    matrix[..., 0, 0] = matrix[..., 1, 1] = a
    matrix[..., 0, 1] = -b
    matrix[..., 1, 0] = b
    rotated = np.einsum("...ij,...j->...i", matrix[..., :2], source_mean)
    matrix[..., 2] = target_mean - rotated
    return matrix


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of (..., 2, 3) transforms, float32; raises LinAlgError for a singular one."""
    inverse = np.empty_like(matrix, dtype=np.float32)
    inverse[..., :2] = np.linalg.inv(matrix[..., :2])
    inverse[..., 2] = -np.einsum("...ij,...j->...i", inverse[..., :2], matrix[..., 2])
    return inverse


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Take points (..., K, 2) through transforms (..., 2, 3); (..., K, 2) float32."""
    moved: np.ndarray = points @ np.swapaxes(matrix[..., :2], -1, -2) + matrix[..., None, :, 2]
    return moved.astype(np.float32, copy=False)


def halve(picture: np.ndarray, times: int) -> np.ndarray:
    """Average squares of 2 x 2 pixels, ``times`` times over; (H, W, C) uint8.

    Before a strong reduction, a warp or linear resize that samples four pixels a point would
    alias; averaging in one go costs eight times as much as halves do. What doesn't fill a
    square at the right and the bottom is left out.
    """
    for _ in range(times):
        rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
        picture = cv2.resize(
            picture[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA
        )
    return picture


def halvings(picture: np.ndarray, scale: float) -> int:
    """How often to halve a picture that is to be scaled by ``scale``, to leave 0.5 to 1.

    Never so often that less than a pixel is left.
    """
    wanted = int(-np.log2(max(scale, 1e-6)))
    return max(0, min(wanted, int(np.log2(min(picture.shape[:2])))))


def resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize (H, W, 3) uint8, averaging where it shrinks and interpolating where it grows."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = max(height / picture.shape[0], width / picture.shape[1])
    picture = halve(picture, halvings(picture, scale))
    # Averaging needs a table as long as the side, which a strip of millions of pixels would abuse.
    rows, columns = (-(-length // OPENCV_LIMIT) for length in picture.shape[:2])
    picture = picture[::rows, ::columns]
    shrinks = picture.shape[0] > height or picture.shape[1] > width
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, height), interpolation=mode)


def warp(
    picture: np.ndarray, matrix: np.ndarray, size: int, border: int = cv2.BORDER_CONSTANT
) -> np.ndarray:
    """Cut a square out of a picture through a transform from the picture to the square.

    picture: (H, W, C) uint8; matrix: (2, 3); border: what lies outside the picture, black or
    with BORDER_REPLICATE the nearest pixel. Returns (size, size, C) uint8.
    """
    times = halvings(picture, float(np.hypot(matrix[0, 0], matrix[1, 0])))
    if times or max(picture.shape[:2]) > OPENCV_LIMIT:
        picture, matrix = _shrink_source(picture, matrix, size, times)
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border)


def align(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face of a picture with its five points at ARCFACE_POINTS.

    picture: (H, W, 3) uint8; points: (5, 2) in pixels. Returns (112, 112, 3) uint8.
    """
    return warp(picture, fit_similarity(points, ARCFACE_POINTS), ARCFACE_SIZE)


def _shrink_source(
    picture: np.ndarray, matrix: np.ndarray, size: int, times: int
) -> tuple[np.ndarray, np.ndarray]:
    """Halve the part of a picture that will be cut; also the transform from it to the crop."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], dtype=np.float32)
    corners = transform(invert(matrix), corners)
    limit = np.array(picture.shape[1::-1])
    margin = 2 ** (times + 1)
    # At least a pixel of the edge stays of a picture that the crop misses, for the border's sake.
    start = np.clip(np.floor(corners.min(axis=0)) - margin, 0, limit - 1).astype(int)
    stop = np.clip(np.ceil(corners.max(axis=0)) + margin, start + 1, limit).astype(int)
    part = picture[start[1] : stop[1], start[0] : stop[0]]
    times = min(times, int(np.log2(min(part.shape[:2]))))
    small = halve(part, times)
    steps = np.ceil(np.array(small.shape[1::-1]) / OPENCV_LIMIT).astype(int)
    small = np.ascontiguousarray(small[:: steps[1], :: steps[0]])
    # Pixel i of the small part stands for ``factor`` pixels, in whose middle its centre lies.
    (across, down), middle = steps * 2**times, (2**times - 1) / 2
    to_picture = np.array([[across, 0, start[0] + middle], [0, down, start[1] + middle]])
    return small, compose(matrix, to_picture.astype(np.float32))


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The transform (2, 3) that does ``first``, then ``second``."""
    both = second[:, :2] @ first
    both[:, 2] += second[:, 2]
    return both


def rotated_square(center: np.ndarray, side: float, angle: float, size: int) -> np.ndarray:
    """The transform from a picture to a square crop of ``size`` pixels.

    center: (2,) and side in pixels of the picture; angle in radians, of the crop's x axis in the
    picture, clockwise as seen. Returns (2, 3) float32.
    """
    scale = size / max(side, 1e-3)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array([[cos, sin, 0], [-sin, cos, 0]], dtype=np.float32)
    # The middle of a crop whose first pixel centre is 0 lies at (size - 1) / 2.
    matrix[:, 2] = (size - 1) / 2 - matrix[:, :2] @ np.asarray(center, dtype=np.float32)
    return matrix


def eye_angle(keypoints: np.ndarray | None) -> float:
    """Angle of the line of the eyes in radians; 0 where a detector gives no keypoints.

    keypoints: (K, 2), the first the eye that is left in an upright picture, then the right one.
    """
    if keypoints is None or len(keypoints) < 2:
        return 0.0
    dx, dy = keypoints[1] - keypoints[0]
    return float(np.arctan2(dy, dx))


def five_points(keypoints: np.ndarray | None) -> np.ndarray | None:
    """Five points in the order of ARCFACE_POINTS from a detector's own set, (5, 2) float32.

    keypoints: (5, 2) in that order already (SCRFD), or (6, 2) as of BlazeFace (eyes, nose tip,
    mouth centre, ears), whose mouth corners are put beside the centre along the line of the eyes.
    None for None and for any other number of points.
    """
    if keypoints is None or len(keypoints) not in (5, 6):
        return None
    if len(keypoints) == 5:
        return keypoints.astype(np.float32, copy=False)
    half_mouth = _HALF_MOUTH * (keypoints[1] - keypoints[0])
    mouth = keypoints[3]
    return np.stack([*keypoints[:3], mouth - half_mouth, mouth + half_mouth]).astype(np.float32)


@dataclass(frozen=True)
class Letterbox:
    """A picture scaled to fit a square and put in its middle; the rest is border.

    width, height: of the scaled picture, and left, top: of its place, in pixels of the square.
    scale_x, scale_y: pixels of the square a pixel of the picture, equal but for rounding.
    """

    width: int
    height: int
    left: int
    top: int
    scale_x: float
    scale_y: float

    @classmethod
    def fit(cls, width: int, height: int, side: int, fill: float = 1.0) -> Letterbox:
        """For a picture of width x height pixels and a square of ``side`` pixels.

        fill: length of the picture's longer side as a share of the square's.
        """
        scale = side * fill / max(width, height)
        columns = min(side, max(1, round(width * scale)))
        rows = min(side, max(1, round(height * scale)))
        left, top = (side - columns) // 2, (side - rows) // 2
        return cls(columns, rows, left, top, columns / width, rows / height)

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the square as points of the picture, float32."""
        scale = np.array([self.scale_x, self.scale_y], dtype=np.float32)
        return (points - np.array([self.left, self.top], dtype=np.float32)) / scale

    def to_square(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the picture as points of the square, float32."""
        scale = np.array([self.scale_x, self.scale_y], dtype=np.float32)
        return points * scale + np.array([self.left, self.top], dtype=np.float32)
