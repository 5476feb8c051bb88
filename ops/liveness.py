"""Liveness: does the picture show a live face; only for requests that ask for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ops.runner import Timing
from ops.stage import ModelWorker
from ops.task import Task

TASK = "liveness"


class LivenessWorker(ModelWorker):
    """Fills `face.liveness` with the mean of what the stage's models say, 0 to 1."""

    def concerns(self, task: Task) -> bool:
        return "liveness" in task.options.want

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        pairs = [pair for task in tasks if "liveness" in task.options.want for pair in task.faces()]
        samples = [(picture.rgb, face) for picture, face in pairs]
        scores = [runner.run(samples, timing) for runner in self.runners]
        for (_, face), mean in zip(pairs, np.mean(scores, axis=0) if pairs else ()):
            face.liveness = float(mean)
