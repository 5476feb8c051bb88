"""Landmark: five points (and the mesh) of each face, on which alignment stands."""

from __future__ import annotations

from collections.abc import Sequence

from ops.runner import Timing
from ops.stage import ModelWorker
from ops.task import Task

TASK = "landmark"


class LandmarkWorker(ModelWorker):
    """Fills `face.landmarks` and `face.mesh`; an aligned face needs none."""

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        pairs = [pair for task in tasks if not task.options.aligned for pair in task.faces()]
        samples = [(picture.pixels, face) for picture, face in pairs]
        found = self.runners[0].run(samples, timing)  # type: ignore[arg-type]
        for (_, face), landmarks in zip(pairs, found):
            face.landmarks = landmarks.points
            face.mesh = landmarks.mesh
