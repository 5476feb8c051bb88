"""What a model of each task must get right on the sample picture, scikit-image's astronaut.

The face's place in it is known here, so that each model is checked by itself, whether or not a
detector has been converted before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

from convert.subject import Subject
from vision.face import Detections, Face, Landmarks
from vision.geometry import ARCFACE_POINTS

# Where SCRFD sees the face, in pixels: box, then the five points (eyes, nose, mouth corners).
BOX = (180.7, 63.4, 271.2, 178.1)
POINTS = ((203.0, 101.1), (245.7, 103.7), (221.9, 128.9), (200.5, 139.6), (243.3, 142.0))
_MIRRORED = (1, 0, 2, 4, 3)  # which point a point becomes in a mirror

MIN_OVERLAP = 0.5  # IoU of a detection with BOX; detectors differ about hair and chin
MIN_SCORE = 0.5
# Cosines. Networks differ in how far apart they spread people (dlib's keeps all within 0.7 to 1),
# so the views of one person must be close, and closer by a margin than anyone else.
SAME_PERSON = 0.9
MARGIN = 0.05
STRANGERS = 24  # faces out of scikit-image's LFW excerpt, grey and small


def sample_face() -> tuple[np.ndarray, Face]:
    """The picture, (512, 512, 3) uint8 RGB, and its face."""
    from skimage import data

    picture = data.astronaut()  # type: ignore[no-untyped-call]
    return picture, face_at(np.array(BOX), np.array(POINTS))


def face_at(box: np.ndarray, points: np.ndarray) -> Face:
    """A face with a box (4,) and five points (5, 2) in pixels."""
    return Face(box=box.astype(np.float32), score=1.0, landmarks=points.astype(np.float32))


def mirrored(picture: np.ndarray, face: Face) -> tuple[np.ndarray, Face]:
    """The picture and its face as a mirror shows them."""
    width = picture.shape[1]
    left, top, right, bottom = face.box
    points = np.array(face.landmarks)[list(_MIRRORED)] * [-1, 1] + [width - 1, 0]
    box = np.array([width - right, top, width - left, bottom])
    return np.ascontiguousarray(picture[:, ::-1]), face_at(box, points)


def turned(
    picture: np.ndarray, face: Face, degrees: float, scale: float
) -> tuple[np.ndarray, Face]:
    """The picture turned and scaled about its middle and brightened a little."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    view = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    view = cv2.convertScaleAbs(view, alpha=1.1, beta=10)
    points = np.array(face.landmarks) @ matrix[:, :2].T + matrix[:, 2]
    corners = face.box.reshape(2, 2) @ matrix[:, :2].T + matrix[:, 2]
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return view, face_at(box, points)


def check_detection(subject: Subject, picture: np.ndarray, face: Face) -> None:
    """The best detection is the face, in the picture and in its mirror."""
    views = [(picture, face), mirrored(picture, face)]
    found: list[Detections] = subject.results(views)
    for (_, expected), detections in zip(views, found):
        if len(detections) == 0:
            subject.fail("it finds no face in the sample picture")
        overlap, score = iou(detections.boxes[0], expected.box), float(detections.scores[0])
        if overlap < MIN_OVERLAP or score < MIN_SCORE:
            subject.fail(
                f"its best detection has the score {score:.2f} and covers the sample's face by "
                f"{overlap:.2f} (IoU); expected at least {MIN_SCORE} and {MIN_OVERLAP}"
            )


def check_landmarks(subject: Subject, picture: np.ndarray, face: Face) -> None:
    """Five points inside the face's box: eyes above nose above mouth, left ones to the left."""
    for view in ((picture, face), mirrored(picture, face)):
        landmarks: Landmarks = subject.results([view])[0]
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks.points
        box = view[1].box
        if (landmarks.points < box[:2]).any() or (landmarks.points > box[2:]).any():
            subject.fail("its points lie outside the sample's face")
        if not max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1]):
            subject.fail("it does not put the eyes above the nose and the nose above the mouth")
        if not (left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0]):
            subject.fail("it takes left for right")


def check_recognition(subject: Subject, picture: np.ndarray, face: Face) -> None:
    """Unit vectors of the declared length; views of one person close, strangers farther."""
    views = [
        (picture, face),
        mirrored(picture, face),
        turned(picture, face, degrees=12, scale=0.8),
        (picture // 2, face),
    ]
    same = np.stack(subject.results(views))
    dim = subject.manifest.embedding_dim
    if same.shape[1] != dim or not np.allclose(np.linalg.norm(same, axis=1), 1, atol=1e-4):
        subject.fail(f"its embeddings are no unit vectors of {dim} numbers")
    closest_stranger = float((same @ strangers(subject).T).max())
    farthest_view = float((same @ same.T).min())
    if farthest_view < max(SAME_PERSON, closest_stranger + MARGIN):
        subject.fail(
            f"two views of one person have the cosine {farthest_view:.2f}, "
            f"a stranger {closest_stranger:.2f}"
        )


def strangers(subject: Subject) -> np.ndarray:
    """Embeddings (STRANGERS, D) of other people."""
    return np.stack(subject.results(stranger_samples()))


def stranger_samples() -> list[tuple[np.ndarray, Face]]:
    """Pictures (H, W, 3) uint8 of STRANGERS other people, which are faces already."""
    from skimage import data

    grey = (data.lfw_subset()[:STRANGERS] * 255).astype(np.uint8)  # type: ignore[no-untyped-call]
    found = []
    for pixels in grey:
        side, middle = pixels.shape[0], np.float32(112 / 2)
        # The excerpt shows a little more around the face than an aligned picture does.
        points = ((ARCFACE_POINTS - middle) * 0.9 + middle) * (side / 112)
        box = np.array([0, 0, side, side])
        found.append((np.repeat(pixels[..., None], 3, axis=2), face_at(box, points)))
    return found


def check_attributes(subject: Subject, picture: np.ndarray, face: Face) -> None:
    """Plain values in their ranges; the sample is a woman in her thirties who smiles."""
    result: Mapping[str, Any] = subject.results([(picture, face)])[0]
    if not set(result) & {"age", "gender", "emotion"}:
        subject.fail(f"it tells neither age nor gender nor emotion: {result}")
    if "age" in result and not 20 <= result["age"] <= 60:
        subject.fail(f"it takes the sample's face for {result['age']:.0f} years old")
    if "gender" in result and result["gender"]["type"] != "female":
        subject.fail(f"it takes the sample's face for {result['gender']['type']}")
    if "emotion" in result:
        probabilities = result["emotion"]["probabilities"]
        if abs(sum(probabilities.values()) - 1) > 0.01 or result["emotion"]["type"] != "happy":
            subject.fail(f"it takes the sample's smile for {result['emotion']}")


def check_liveness(subject: Subject, picture: np.ndarray, face: Face) -> None:
    """A share of 1 that depends on what is seen."""
    noise = np.random.default_rng(7).integers(0, 256, picture.shape, dtype=np.uint8)
    scores = subject.results([(picture, face), (noise, face)])
    if not all(0 <= score <= 1 for score in scores):
        subject.fail(f"its scores {scores} are not in 0 to 1")
    if scores[0] == scores[1]:
        subject.fail("it gives a face and noise the same score")


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Overlap of two boxes (4,) x1 y1 x2 y2: intersection over union, 0 to 1."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    total = float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2])) - shared
    return shared / total


CHECKS: dict[str, Callable[[Subject, np.ndarray, Face], None]] = {
    "detection": check_detection,
    "landmark": check_landmarks,
    "recognition": check_recognition,
    "attributes": check_attributes,
    "liveness": check_liveness,
}
