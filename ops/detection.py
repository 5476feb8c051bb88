"""Detection: boxes, scores and the detector's keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ops.face import Detections, Face
from ops.geometry import ARCFACE_POINTS
from ops.options import Options
from ops.runner import Timing
from ops.stage import ModelWorker
from ops.task import Task

TASK = "detection"


class DetectionWorker(ModelWorker):
    """Fills `picture.faces`, largest first."""

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        for task in tasks:
            if task.options.aligned:
                for picture in task.usable_pictures():
                    picture.faces = [aligned_face(*picture.rgb.shape[1::-1])]
        pairs = [
            (picture, task.options)
            for task in tasks
            if not task.options.aligned
            for picture in task.usable_pictures()
        ]
        samples = [(picture.rgb, None) for picture, _ in pairs]
        found = self.runners[0].run(samples, timing)
        for (picture, options), detections in zip(pairs, found):
            picture.faces = select_faces(detections, options, picture.scale)


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
    points = detections.keypoints
    return [
        Face(
            box=detections.boxes[i],
            score=float(detections.scores[i]),
            keypoints=None if points is None else points[i],
        )
        for i in order
    ]


def aligned_face(width: int, height: int) -> Face:
    """The one face of a picture that is said to be aligned as ArcFace's 112x112 faces are."""
    scale = np.array([width / 112.0, height / 112.0], np.float32)
    box = np.array([0, 0, width, height], np.float32)
    points = (ARCFACE_POINTS * scale).astype(np.float32)
    return Face(box=box, score=1.0, landmarks=points)
