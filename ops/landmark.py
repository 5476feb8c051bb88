"""Landmark: five points (and the mesh) of each face, on which alignment stands."""

from __future__ import annotations

from collections.abc import Sequence

from ops.runner import Timing
from ops.stage import ModelWorker
from ops.task import Task

TASK = "landmark"

# What the detector took for a face scores near 0 with the landmark model where it is none
# (0.006 in a group picture whose doubtful box scored 0.44), a full profile still 0.58.
MIN_SCORE = 0.25


class LandmarkWorker(ModelWorker):
    """Fills `face.landmarks` and `face.mesh`; drops what is no face; aligned faces need none."""

    def concerns(self, task: Task) -> bool:
        return not task.options.aligned

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        pairs = [pair for task in tasks if not task.options.aligned for pair in task.faces()]
        samples = [(picture.rgb, face) for picture, face in pairs]
        found = self.runners[0].run(samples, timing)
        for (picture, face), landmarks in zip(pairs, found):
            face.landmarks = landmarks.points
            face.mesh = landmarks.mesh
            if landmarks.score < MIN_SCORE:
                picture.faces = [other for other in picture.faces if other is not face]
