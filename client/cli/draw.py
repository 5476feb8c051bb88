"""Pictures with the faces drawn in: box, five landmarks, score and what else is known."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from client.cli.labels import FONT, Label, place_labels
from client.errors import UnreadableError
from client.pictures import Picture
from client.pipeline.answer import FaceAnswer, ImageAnswer

# Colours are BGR, OpenCV's order.
ACCENT = (120, 214, 32)
POINT = (60, 180, 255)
INK = (30, 30, 30)
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel where coordinates are given in fixed point
FARTHEST = 1e6  # pixels: fits the fixed point's 32 bits, and no picture is as large
JPEG_QUALITY = 92


def target(directory: Path, picture: Picture) -> Path:
    """Where the annotated picture goes: DIR/name.jpg, sub-directories kept."""
    return (directory / picture.name).with_suffix(".jpg")


def save(directory: Path, picture: Picture, answer: ImageAnswer) -> Path:
    """Writes the annotated picture and returns its path.

    Raises UnreadableError where the picture cannot be decoded as the service did, OSError
    where the file cannot be written.
    """
    path = target(directory, picture)
    write(path, draw_faces(decode(picture, answer.width, answer.height), answer.faces))
    return path


def write(path: Path, pixels: np.ndarray) -> None:
    """Writes a picture, (H, W, 3) uint8 BGR, in the format of the path's suffix.

    Raises UnreadableError where that is none of OpenCV's, OSError where it cannot be written.
    """
    try:
        done, encoded = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    except cv2.error:
        done = False
    if not done:
        raise UnreadableError(f"OpenCV cannot encode {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())


def decode(picture: Picture, width: int, height: int) -> np.ndarray:
    """The upright picture, (height, width, 3) uint8 BGR; EXIF orientation is applied.

    Raises UnreadableError where it cannot be decoded or its size is not the one that the
    service saw, since boxes would then be in the wrong place.
    """
    pixels = upright(picture.data(), picture.name)
    if pixels.shape[:2] != (height, width):
        size = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise UnreadableError(f"{picture.name} is {size}, but the service saw {width} x {height}")
    return pixels


def upright(data: bytes, name: str) -> np.ndarray:
    """The picture in a file, (H, W, 3) uint8 BGR, turned as its EXIF says. Raises UnreadableError.

    name: of the picture, for the error.
    """
    encoded = np.frombuffer(data, np.uint8)
    # Some builds of OpenCV know HEIC and AVIF, but not how those are turned.
    known = encoded.size and data[4:8] != b"ftyp"
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if known else None
    return _by_pillow(data, name) if pixels is None else pixels


def _by_pillow(data: bytes, name: str) -> np.ndarray:
    """HEIC, AVIF, GIF, and what else OpenCV does not know."""
    from pi_heif import register_heif_opener
    from PIL import Image, ImageOps

    register_heif_opener()
    try:
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])
    except (OSError, ValueError, SyntaxError):
        raise UnreadableError(f"{name} cannot be decoded") from None


def draw_faces(
    picture: np.ndarray, faces: Sequence[FaceAnswer], captions: Sequence[str] | None = None
) -> np.ndarray:
    """A copy of the picture, (H, W, 3) uint8 BGR, with all faces drawn in.

    captions: one a face, in ASCII; what is known of the face where they are left out.

    Lines and letters grow with the picture, so that it reads the same at any size on a screen,
    but not beyond what a small face in a large picture bears.
    """
    canvas: np.ndarray = picture.copy()
    widest = line_width(picture.shape[0], picture.shape[1])
    lines = [max(1, min(widest, round(_side(face) / 30))) for face in faces]
    for face, line in zip(faces, lines):
        _draw_box(canvas, face.box, line)
    for face, line in zip(faces, lines):
        _draw_landmarks(canvas, face, line)
    texts = [caption(face) for face in faces] if captions is None else captions
    boxes = np.array([face.box for face in faces], np.float64)
    for label in place_labels(texts, boxes, lines, *picture.shape[:2]):
        _draw_label(canvas, label)  # last, so that no box crosses it
    return canvas


def line_width(height: int, width: int) -> int:
    """Pixels, with the root of the longer side: 1 for a thumbnail, 2 at 512, 4 at 2048."""
    return max(1, round(math.sqrt(max(height, width)) / 11))


def _side(face: FaceAnswer) -> float:
    """Pixels of the box's shorter side."""
    x1, y1, x2, y2 = face.box
    return min(x2 - x1, y2 - y1)


def caption(face: FaceAnswer) -> str:
    """The label of a face in ASCII (OpenCV's fonts have nothing else), e.g. ``0.97 female 31``."""
    parts = [f"{face.score:.2f}"]
    gender = face.attributes.get("gender")
    if isinstance(gender, dict) and "type" in gender:
        parts.append(str(gender["type"]))
    age = face.attributes.get("age")
    if isinstance(age, (int, float)):
        parts.append(f"{age:.0f}")
    if face.liveness is not None:
        parts.append(f"live {face.liveness:.2f}")
    return " ".join(parts).encode("ascii", "replace").decode("ascii")


def _fixed(points: np.ndarray) -> np.ndarray:
    """Pixels in OpenCV's fixed point, int32 of the same shape; far outside they are cut off."""
    near = np.clip(np.asarray(points), -FARTHEST, FARTHEST)
    fixed: np.ndarray = np.round(near * (1 << SUBPIXEL_BITS)).astype(np.int32)
    return fixed


def _draw_box(canvas: np.ndarray, box: Sequence[float], line: int) -> None:
    """A thin frame with strong corners: the face stays visible, the box is found at a glance."""
    x1, y1, x2, y2 = box
    frame = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    thin = max(1, line // 2)
    _draw_line(canvas, frame, True, thin)
    arm = 0.18 * min(x2 - x1, y2 - y1)
    for corner, inward in zip(frame, ((1, 1), (-1, 1), (-1, -1), (1, -1))):
        angle = np.array([corner, corner, corner]) + np.array(
            [[0, inward[1] * arm], [0, 0], [inward[0] * arm, 0]]
        )
        _draw_line(canvas, angle, False, 2 * line)


def _draw_line(canvas: np.ndarray, points: np.ndarray, closed: bool, width: int) -> None:
    lines: list[Any] = [_fixed(points)]
    cv2.polylines(canvas, lines, closed, ACCENT, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_landmarks(canvas: np.ndarray, face: FaceAnswer, line: int) -> None:
    if face.landmarks is None:
        return
    # No larger than the face bears, no smaller than can be seen.
    radius = max(1.0, min(2.0 * line, 0.03 * _side(face)))
    for point in _fixed(face.landmarks):
        for size, colour in ((radius * 1.5, INK), (radius, POINT)):
            cv2.circle(
                canvas, point.tolist(), int(_fixed(np.array(size))), colour, -1, cv2.LINE_AA,
                SUBPIXEL_BITS,
            )  # fmt: skip


def _draw_label(canvas: np.ndarray, label: Label) -> None:
    """Dark letters on a plate."""
    plate = (label.left, label.top), (label.right, label.bottom)
    cv2.rectangle(canvas, *plate, ACCENT, -1, cv2.LINE_AA)
    cv2.putText(canvas, label.text, label.origin, FONT, label.scale, INK, label.stroke, cv2.LINE_AA)
