"""Attributes: age, gender, expression; only for requests that ask for them."""

from __future__ import annotations

from collections.abc import Sequence

from ops.runner import Timing
from ops.stage import ModelWorker
from ops.task import Task

TASK = "attributes"


class AttributesWorker(ModelWorker):
    """Fills `face.attributes` with what each of the stage's models says."""

    def concerns(self, task: Task) -> bool:
        return "attributes" in task.options.want

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        pairs = [
            pair for task in tasks if "attributes" in task.options.want for pair in task.faces()
        ]
        samples = [(picture.rgb, face) for picture, face in pairs]
        for runner in self.runners:
            found = runner.run(samples, timing)
            for (_, face), attributes in zip(pairs, found):
                face.attributes.update(attributes)
