"""Detection: boxes, scores and the detector's keypoints.

A picture in which nothing was found, or that a doubtful face fills, is looked at once more, as it
is and turned by each quarter, with a border round it: four small copies in one picture. Detectors
have seen upright faces with something around them. Of 124 portraits cut 5 % inside the face's box
BlazeFace misses or misplaces 27 at the first look and none at the second; of 124 that were reduced
to 112 pixels, with noise of 12 grey levels, 93 and 2. Of portraits turned by a quarter it finds but
a half here and there at the first look, and says how they stand at the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.runner import Runner, Timing
from ops.options import Options
from ops.request_state import Picture, RequestState
from ops.stages.small_faces import added, plan, search
from ops.worker import ModelPool, ModelWorker
from vision.face import Detections, Face
from vision.geometry import ARCFACE_POINTS
from vision.quarters import Quarters
from vision.suppression import nesting, overlaps, suppress

# Of 124 portraits 8 hold a face that is less sure and as large as this; of faces cut too tight or
# turned by a quarter most are.
_SURE = 0.85
_LARGE = 0.3  # the box's longer side as a share of the picture's
# Where nothing is so sure, nothing may have been found: in small and noisy pictures the detector
# takes a nose or a shadow for a face before it sees the face.
_LEAST = 0.55
# What is smaller than the detector's input is blown up with its noise, under which faces look like
# nothing.
_BLOWN_UP = 256
# What the second look finds has to be so sure. Of 30 pictures without a face one reaches it; of 62
# portraits, however turned, all have 0.82 and more, noisy 0.76, and of those cut too tight all but
# one of 30 pixels 0.6.
_SECOND_SCORE = 0.6
# A box of which more than this share lies in a better one, or the other way round, is the same
# face: its eyes and mouth, or its head. In doubt, less is enough: of a face that lies on its side
# the detector finds one half and the other.
_NESTED = 0.5
_NESTED_IN_DOUBT = 0.3
# Two looks agree on a face whose boxes overlap by more (IoU), and which stands the same to them.
_AGREED = 0.5
_AGREED_DEGREES = 30.0


class DetectionWorker(ModelWorker):
    """Fills `picture.faces`, largest first; requests with `smallest_face` also have tiles searched.

    The model that searches those is loaded when the first such request comes.
    """

    def __init__(self, runners: Sequence[Runner]) -> None:
        super().__init__(runners)
        self._small_faces: tuple[ModelPool, str] | None = None
        self._of_size: dict[int, Runner] = {}

    def assist(self, pool: ModelPool, device: str) -> None:
        self._small_faces = (pool, device)

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        for request in requests:
            if request.options.aligned:
                for picture in request.usable_pictures():
                    picture.faces = [aligned_face(*picture.rgb.shape[1::-1])]
        pairs = [
            (picture, request.options)
            for request in requests
            if not request.options.aligned
            for picture in request.usable_pictures()
        ]
        samples = [(picture.rgb, options) for picture, options in pairs]
        for (picture, options), detections in zip(pairs, self._search(samples, timing)):
            # Of a trace that is left out below, the tiles may show the face.
            sure = detections.picked(np.flatnonzero(detections.scores >= options.min_score))
            whole = self._with_small(picture, sure, timing)
            picture.faces = select_faces(whole, options, picture.scale)

    def _with_small(self, picture: Picture, found: Detections, timing: Timing) -> Detections:
        """What was found, and the faces that are too small for one look, where they are wanted."""
        height, width = picture.rgb.shape[:2]
        levels = plan(width, height, picture.smallest_face / picture.scale)
        if not levels or self._small_faces is None:
            return found

        def look(parts: Sequence[np.ndarray], side: int) -> list[Detections]:
            if side not in self._of_size and self._small_faces is not None:
                pool, device = self._small_faces
                (self._of_size[side],) = pool.runners(device, {"input_size": side})
            return self._of_size[side].run([(part, None) for part in parts], timing)

        return added(found, search(picture.rgb, levels, look), max(width, height))

    def _search(
        self, samples: Sequence[tuple[np.ndarray, Options]], timing: Timing
    ) -> list[Detections]:
        """What is found in pictures (H, W, 3) with their options, a second look included."""
        runner = self.runners[0]
        looked = runner.run([(picture, None) for picture, _ in samples], timing)
        found = [distinct(detections) for detections in looked]
        doubts = [
            doubtful(detections, max(picture.shape[:2]), options.min_score)
            for detections, (picture, options) in zip(found, samples)
        ]
        unsure = [
            n
            for n, (picture, options) in enumerate(samples)
            if is_unsure(found[n], doubts[n], max(picture.shape[:2]), options.min_score)
        ]
        views = [Quarters.of(samples[n][0]) for n in unsure]
        looked = runner.run([(view.pixels, None) for view in views], timing)
        for n, view, detections in zip(unsure, views, looked):
            sure = detections.picked(np.flatnonzero(detections.scores >= _SECOND_SCORE))
            found[n] = merged(found[n], doubts[n], view.to_picture(sure))
        return found


def doubtful(found: Detections, side: int, min_score: float) -> np.ndarray:
    """Which boxes of a picture, `side` pixels at its longer side, a second look is to replace.

    (N,) bool: large ones that are not sure, or of which one lies in good part in another, and all
    below min_score.
    """
    good = found.scores >= min_score
    large = good & _are_large(found, side)
    doubt: np.ndarray = ~good | large & (found.scores < _SURE)
    if large.sum() > 1:
        shared = (nesting(found.boxes, found.boxes) > _NESTED_IN_DOUBT) & large & large[:, None]
        doubt |= large & (shared.sum(axis=1) > 1)
    return doubt


def is_unsure(found: Detections, doubt: np.ndarray, side: int, min_score: float) -> bool:
    """Whether a second look is worth it.

    So where what was found is doubtful, and where nothing was found surely that could be a large
    face: there is at least a trace of it, or the picture is too small to be sure.
    """
    good = found.scores >= min_score
    if (good & (found.scores >= _LEAST)).any():
        return bool(doubt[good].any())
    return side < _BLOWN_UP or bool(_are_large(found, side).any())


def _are_large(found: Detections, side: int) -> np.ndarray:
    sides = (found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1, initial=0.0)
    large: np.ndarray = sides > _LARGE * side
    return large


def distinct(found: Detections) -> Detections:
    """One box a face, best score first."""
    if len(found) < 2:
        return found
    return found.picked(suppress(found.boxes, found.scores, _NESTED, nesting))


def merged(first: Detections, doubt: np.ndarray, second: Detections) -> Detections:
    """One box a face out of two looks at a picture, best score first.

    doubt: (N,) bool, of the first look's: where the second look found anything, it is right.
    """
    if not len(second):
        return first
    second = confirmed(first, second)
    stays = first.picked(np.flatnonzero(~doubt))
    given = [look.keypoints for look in (stays, second) if look.keypoints is not None]
    both = Detections(
        np.concatenate([stays.boxes, second.boxes]),
        np.concatenate([stays.scores, second.scores]),
        np.concatenate(given) if len(given) == 2 else None,
        np.repeat([False, True], [len(stays), len(second)]),
    )
    return both.picked(suppress(both.boxes, both.scores, _NESTED_IN_DOUBT, nesting))


def confirmed(first: Detections, second: Detections) -> Detections:
    """The second look, with the first one's box and keypoints for a face on which they agree.

    In the first look the face is three times as large.
    """
    if not len(first):
        return second
    shared = overlaps(second.boxes, first.boxes)
    match = shared.argmax(axis=1)
    agree = shared.max(axis=1) > _AGREED
    points = second.keypoints
    if points is not None and first.keypoints is not None:
        ways = [_eye_lines(first.keypoints[match]), _eye_lines(points)]
        agree &= (ways[0] * ways[1]).sum(axis=1) > np.cos(np.radians(_AGREED_DEGREES))
        points = np.where(agree[:, None, None], first.keypoints[match], points)
    boxes = np.where(agree[:, None], first.boxes[match], second.boxes)
    return Detections(boxes, second.scores, points)


def _eye_lines(keypoints: np.ndarray) -> np.ndarray:
    """Directions from the left to the right eye, (N, 2) of unit length; keypoints: (N, K, 2)."""
    lines = keypoints[:, 1] - keypoints[:, 0]
    unit: np.ndarray = lines / np.maximum(np.linalg.norm(lines, axis=1, keepdims=True), 1e-6)
    return unit


def select_faces(detections: Detections, options: Options, scale: int = 1) -> list[Face]:
    """Faces that satisfy min_score and min_size; the `max_faces` largest, largest first.

    scale: pixels of the picture as sent to one of the picture that was searched.
    """
    if not len(detections):
        return []
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    good = (detections.scores >= options.min_score) & (
        sides.min(axis=1) * scale >= options.min_size
    )
    areas = np.where(good, sides.prod(axis=1), -1.0)
    order = np.argsort(-areas, kind="stable")[: min(int(good.sum()), options.max_faces)]
    points, compared = detections.keypoints, detections.compared
    return [
        Face(
            box=detections.boxes[i],
            score=float(detections.scores[i]),
            keypoints=None if points is None else points[i],
            compared=compared is not None and bool(compared[i]),
        )
        for i in order
    ]


def aligned_face(width: int, height: int) -> Face:
    """The one face of a picture that is said to be aligned as ArcFace's 112x112 faces are."""
    scale = np.array([width / 112.0, height / 112.0], np.float32)
    box = np.array([0, 0, width, height], np.float32)
    points = (ARCFACE_POINTS * scale).astype(np.float32)
    return Face(box=box, score=1.0, landmarks=points)
