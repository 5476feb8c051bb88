"""Settings of the DAG's ops, the section ``op`` of ``config.yml``, and how ops may be wired."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, field_validator

from settings import device_names
from settings.section import Section
from settings.stages import FIRST, LAST, RECOGNITION, REQUIRED, STAGES

# A recogniser with less beside another one might as well be left out.
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000.0


class OpConfig(Section):
    """The op of one stage.

    inputs: stages whose output it takes. concurrency: threads, each with its own clone of
    the predictor. batch_size: model inputs a run. models: directories below `models_dir`,
    or paths. fallback: used instead of a single model that has not been converted or may not be
    used: the first of these that can.
    flip: embeddings are the mean of the face's and of its mirror image's. weights: of several
    recognisers in the embedding that they make together; empty for what their calibrations say.
    devices: "" for the CPU, else GPU numbers ("0" or "0,1"), UUIDs of GPUs ("GPU-...") or of MIG
    instances ("MIG-..."), shared out over the threads; MIG instances over the replicas.
    threads: math threads a predictor on the CPU.
    engine, precision: what runs its models, and in which floats; auto: the fastest that is right.
    small_faces: of Detection, the model that searches for faces too small for its own; empty:
    none. smallest_face: pixels of the faces that it searches for unless a request says else; 0:
    those that one look finds.
    """

    inputs: tuple[str, ...] = ()
    concurrency: int = Field(1, ge=1, le=64)
    batch_size: int = Field(1, ge=1, le=256)
    models: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    flip: bool = False
    weights: tuple[float, ...] = ()
    devices: str = Field("", pattern=device_names.SEVERAL)
    threads: int = Field(1, ge=1, le=256)
    engine: str = Field("auto", pattern="^(auto|paddle|openvino|tensorrt)$")
    precision: str = Field("auto", pattern="^(auto|fp32|bf16|fp16)$")
    small_faces: str = ""
    smallest_face: int = Field(0, ge=0, le=100_000)

    @field_validator("weights")
    @classmethod
    def _weights(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(LEAST_WEIGHT <= weight <= MOST_WEIGHT for weight in value):
            raise ValueError(f"numbers from {LEAST_WEIGHT} to {MOST_WEIGHT:g} are expected")
        return value

    def device(self, worker: int, replica: int = 0) -> str:
        """The device of a thread: "cpu", "gpu:N" or "gpu:UUID".

        Replicas go on where the one before ended.
        """
        found = device_names.chosen(self.devices, worker, replica, self.concurrency)
        return f"gpu:{found}" if found else "cpu"

    def identifiers(self, replica: int = 0) -> list[str]:
        """The GPUs that its threads have in a replica, as `devices` names them, each once."""
        each = [
            device_names.chosen(self.devices, worker, replica, self.concurrency)
            for worker in range(self.concurrency)
        ]
        return list(dict.fromkeys(filter(None, each)))


def check_ops(ops: Mapping[str, OpConfig]) -> None:
    """Check that ops, by stage, form a DAG that Paddle Serving's channels can carry.

    Raises ValueError that names the key, the value and what is allowed.
    """
    for name in ops:
        _check_op(ops, name)
    for name in REQUIRED:
        if name not in ops:
            raise ValueError(f"op.{name}: missing; the pipeline needs it")
    layers: dict[str, int] = {}
    for name in ops:
        _layer(ops, name, layers, ())
    consumed = {name for op in ops.values() for name in op.inputs}
    for name in ops:
        if name != LAST and name not in consumed:
            raise ValueError(f"op.{name}: no other op has it in its inputs")
    for name, op in ops.items():
        missing = [need for need in STAGES[name].needs if need not in _ancestors(ops, name)]
        if missing:
            raise ValueError(
                f"op.{name}.inputs: {list(op.inputs)} is not allowed: "
                f"{missing[0]} has to run before it"
            )


def _check_op(ops: Mapping[str, OpConfig], name: str) -> None:
    if name not in STAGES:
        raise ValueError(f"op.{name}: unknown op; known are {', '.join(STAGES)}")
    op, stage = ops[name], STAGES[name]
    for source in op.inputs:
        if source not in ops:
            raise ValueError(f"op.{name}.inputs: {source!r} is not allowed: there is no such op")
    if (not op.inputs) != (name == FIRST):
        raise ValueError(
            f"op.{name}.inputs: {list(op.inputs)} is not allowed: "
            f"{FIRST} has no inputs, every other op at least one"
        )
    if stage.task and not op.models:
        raise ValueError(f"op.{name}.model: missing")
    if not stage.task and (op.models or op.devices):
        raise ValueError(f"op.{name}: it runs no model, so model and devices are not allowed")
    if not stage.task and (op.engine, op.precision) != ("auto", "auto"):
        raise ValueError(f"op.{name}: it runs no model, so engine and precision are not allowed")
    if (op.small_faces or op.smallest_face) and stage.task != "detection":
        raise ValueError(f"op.{name}: small_faces and smallest_face are settings of Detection")
    if op.smallest_face and not op.small_faces:
        raise ValueError(f"op.{name}.smallest_face: {op.smallest_face} needs small_faces, a model")
    if op.fallback and len(op.models) != 1:
        raise ValueError(f"op.{name}.fallback: allowed beside a single model only")
    if not stage.several and len(op.models) > 1:
        raise ValueError(f"op.{name}.models: {list(op.models)} is not allowed: it runs one model")
    _check_recognition(name, op)


def _check_recognition(name: str, op: OpConfig) -> None:
    if STAGES[name].task != RECOGNITION:
        if op.flip or op.weights:
            raise ValueError(
                f"op.{name}: flip and weights are not allowed: they are for what makes embeddings"
            )
        return
    if len(set(op.models)) < len(op.models):
        raise ValueError(
            f"op.{name}.models: {list(op.models)} is not allowed: each recogniser once"
        )
    if op.weights and (len(op.models) == 1 or len(op.weights) != len(op.models)):
        raise ValueError(
            f"op.{name}.weights: {list(op.weights)} is not allowed: "
            f"one for each of several models, which are {list(op.models)}"
        )


def _layer(
    ops: Mapping[str, OpConfig], name: str, layers: dict[str, int], path: tuple[str, ...]
) -> int:
    if name in path:
        raise ValueError(f"op.{name}.inputs: the ops form a circle")
    if name not in layers:
        depths = {_layer(ops, source, layers, (*path, name)) for source in ops[name].inputs}
        if len(depths) > 1:
            # Paddle Serving 0.9 bridges layers with a VirtualOp whose thread dies at start.
            raise ValueError(
                f"op.{name}.inputs: {list(ops[name].inputs)} is not allowed: "
                f"all inputs have to be equally far from {FIRST}"
            )
        layers[name] = 1 + max(depths, default=0)
    return layers[name]


def _ancestors(ops: Mapping[str, OpConfig], name: str) -> set[str]:
    direct = set(ops[name].inputs)
    return direct.union(*(_ancestors(ops, parent) for parent in direct))
