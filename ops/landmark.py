"""Landmark: five points (and the mesh) of each face, and what follows from them."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from ops.pose import head_angles
from ops.quality import face_quality
from ops.runner import Timing
from ops.stage import ModelWorker
from ops.task import Task

TASK = "landmark"

# What the detector took for a face scores near 0 with the landmark model where it is none
# (0.006 in a group picture whose doubtful box scored 0.44), a full profile still 0.58.
MIN_SCORE = 0.25


class LandmarkWorker(ModelWorker):
    """Fills `face.landmarks` and `face.mesh`, drops what is no face; aligned faces have points.

    Angle and quality are worked out here for requests that ask for them: they need the mesh and
    the picture, and no model.
    """

    def concerns(self, task: Task) -> bool:
        return not task.options.aligned or "quality" in task.options.want

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        self._find([task for task in tasks if not task.options.aligned], timing)
        started = time.perf_counter()
        _fill_angles([task for task in tasks if "angle" in task.options.want])
        for task in tasks:
            if "quality" in task.options.want:
                for picture, face in task.faces():
                    face.quality = face_quality(picture.rgb, face)
        timing.decode += time.perf_counter() - started

    def _find(self, tasks: Sequence[Task], timing: Timing) -> None:
        pairs = [pair for task in tasks for pair in task.faces()]
        samples = [(picture.rgb, face) for picture, face in pairs]
        found = self.runners[0].run(samples, timing)
        for (picture, face), landmarks in zip(pairs, found):
            face.landmarks = landmarks.points
            face.mesh = landmarks.mesh
            if landmarks.score < MIN_SCORE:
                picture.faces = [other for other in picture.faces if other is not face]


def _fill_angles(tasks: Sequence[Task]) -> None:
    """Angles of all faces that have a mesh, in one go."""
    faces = [face for task in tasks for _, face in task.faces() if face.mesh is not None]
    meshes = [face.mesh for face in faces if face.mesh is not None]
    if meshes:
        for face, angle in zip(faces, head_angles(np.stack(meshes))):
            face.angle = angle
