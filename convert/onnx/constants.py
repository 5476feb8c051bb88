"""Constants of an ONNX graph: its tensors, and what the graph computes from shapes alone.

Graphs for pictures of any size compute the size that a map is enlarged to from the shape of
another one, in a dozen operators that are constants once the picture's size is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from convert.network.graph import GraphError, Shape

# Numbers of TensorProto.DataType: how raw data are stored, and where they are else.
_TYPES = {
    1: ("<f4", "float_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    11: ("<f8", "double_data"),
}


def array_of(tensor: Any) -> np.ndarray:
    """A tensor of the file. Raises GraphError for types that no network here has."""
    known = _TYPES.get(tensor.data_type)
    if known is None or tensor.data_location:
        raise GraphError(f"tensor {tensor.name!r} is of a type or in a place that is not supported")
    kind, field = known
    stored = (
        np.frombuffer(tensor.raw_data, kind)
        if tensor.raw_data
        else np.array(getattr(tensor, field), kind)
    )
    try:
        return stored.reshape(tuple(tensor.dims))
    except ValueError:
        raise GraphError(f"tensor {tensor.name!r} has other values than its shape says") from None


def shape_constant(shape: Shape, name: str) -> np.ndarray:
    """What the node ``name`` of kind Shape gives, the batch as -1."""
    if -1 in shape[1:]:
        raise GraphError(f"node {name!r} asks for the size of a picture of any size")
    return np.array(shape, np.int64)


def _axes(attributes: Mapping[str, Any], values: Sequence[np.ndarray]) -> tuple[int, ...]:
    given = attributes["axes"] if "axes" in attributes else values[1].reshape(-1)
    return tuple(int(axis) for axis in given)


def _slice(attributes: Mapping[str, Any], values: Sequence[np.ndarray]) -> np.ndarray:
    # Attributes before version 10 of the operators, inputs since.
    given = dict(attributes)
    for key, value in zip(("starts", "ends", "axes", "steps"), values[1:]):
        given[key] = value.reshape(-1).tolist()
    starts, ends = given["starts"], given["ends"]
    axes, steps = given.get("axes") or range(len(starts)), given.get("steps") or [1] * len(starts)
    part: list[slice] = [slice(None)] * values[0].ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        part[axis] = slice(start, end, step)
    return values[0][tuple(part)]


FOLDED: dict[str, Callable[[Mapping[str, Any], Sequence[np.ndarray]], np.ndarray]] = {
    "Cast": lambda _, values: values[0],
    "Concat": lambda attributes, values: np.concatenate(values, attributes["axis"]),
    "Gather": lambda attributes, values: np.take(
        values[0], values[1].astype(np.int64), axis=attributes.get("axis", 0)
    ),
    "Slice": _slice,
    "Squeeze": lambda attributes, values: np.squeeze(values[0], _axes(attributes, values)),
    "Unsqueeze": lambda attributes, values: np.expand_dims(values[0], _axes(attributes, values)),
}
