"""The stages of the pipeline, a line each: nothing else has a list of them.

`ops/registry.py` loads their code by what stands here, so that settings import nobody.
``docs/adding-things.md`` adds one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    name: of its op in ``config.yml``, in answers and in the tracer. worker: what does its work,
    ``module:Class`` in `ops/stages/`. needs: stages that have to run before it. task: what its
    models are for, as their manifests say; None where it runs none. several: whether it may run
    more than one model. required: whether there is no pipeline without it.
    """

    name: str
    worker: str
    needs: tuple[str, ...] = ()
    task: str | None = None
    several: bool = False
    required: bool = False


# Where requests come in, and where they are answered.
FIRST, LAST = "Request", "Response"

# The task of what makes embeddings: its models are joined, and see mirrored faces where told to.
RECOGNITION = "recognition"

# In an order in which they can run.
_STAGES = (
    Stage(FIRST, "request:RequestWorker", required=True),
    Stage("Detection", "detection:DetectionWorker", (FIRST,), "detection", required=True),
    Stage("Landmark", "landmark:LandmarkWorker", ("Detection",), "landmark"),
    Stage("ArcFace", "arcface:ArcFaceWorker", ("Landmark",), RECOGNITION, several=True),
    Stage("Attributes", "attributes:AttributesWorker", ("Landmark",), "attributes", several=True),
    Stage("Liveness", "liveness:LivenessWorker", ("Detection",), "liveness", several=True),
    Stage(LAST, "response:ResponseWorker", ("Detection",), required=True),
)
STAGES = {stage.name: stage for stage in _STAGES}
REQUIRED = tuple(stage.name for stage in _STAGES if stage.required)
# What models are for.
TASKS = tuple(stage.task for stage in _STAGES if stage.task is not None)
