"""One function for each ONNX operator that the networks of face models use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from convert.network import graph as ir
from convert.network.graph import GraphError
from convert.network.reader import Reader

Operator = Callable[["OnnxReader", str, Sequence[str], Mapping[str, Any]], None]

# Channel maps to rows of cells, as detectors end that were exported for one picture; and the same
# for a batch.
_ROWS_OF_ONE_PICTURE = (2, 3, 0, 1)
_ROWS_OF_EACH_PICTURE = (0, 2, 3, 1)
# Coordinates and rounding of a Resize with which a whole factor repeats each pixel.
_REPEATING = {
    ("asymmetric", "floor"),
    ("half_pixel", "round_prefer_floor"),
    ("half_pixel", "round_prefer_ceil"),
    ("pytorch_half_pixel", "round_prefer_floor"),
}


class OnnxReader(Reader):
    """A reader that also knows which values are rows of one picture, without a batch of theirs."""

    def __init__(self, graph: ir.Graph, constants: Mapping[str, np.ndarray]) -> None:
        super().__init__(graph, constants)
        self.rows: set[str] = set()


def _padding(name: str, attributes: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a windowed operator."""
    if attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise GraphError(f"node {name!r} has auto_pad {attributes['auto_pad']}: not supported")
    if attributes.get("ceil_mode"):
        raise GraphError(f"node {name!r} rounds its size up, which is not supported")
    top, left, bottom, right = attributes.get("pads") or (0, 0, 0, 0)
    return top, bottom, left, right


def _pair(attributes: Mapping[str, Any], key: str) -> tuple[int, int]:
    first, second = attributes.get(key) or (1, 1)
    return first, second


def _conv(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    weight = reader.constant(sources[1], name).astype(np.float32)
    if weight.ndim != 4:
        raise GraphError(f"node {name!r} is no convolution of images")
    zeros = np.zeros(len(weight), np.float32)
    bias = reader.constant(sources[2], name).astype(np.float32) if len(sources) > 2 else zeros
    reader.append(
        ir.Conv(
            name,
            [reader.value(sources[0])],
            weight,
            bias,
            stride=_pair(attributes, "strides"),
            padding=_padding(name, attributes),
            dilation=_pair(attributes, "dilations"),
            groups=attributes.get("group", 1),
        )
    )


def _batch_norm(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    reader.batch_norm(name, sources, attributes.get("epsilon", 1e-5))


def _per_channel(reader: OnnxReader, name: str, tensor: str, constant: str) -> np.ndarray:
    """A constant operand of ``tensor`` as one value for each channel."""
    values = reader.constant(constant, name).astype(np.float32)
    shape = reader.shape(tensor)
    channels = shape[1]
    aligned = (1,) * (len(shape) - values.ndim) + values.shape
    if values.size != 1 and aligned != (1, channels, *(1 for _ in shape[2:])):
        raise GraphError(f"node {name!r} has an operand of shape {values.shape}: not per channel")
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), channels))


def _arithmetic(kind: str) -> Operator:
    def read(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
        tensors = [source for source in sources if source not in reader.constants]
        if len(tensors) == 2:
            if kind not in ("Add", "Mul"):
                raise GraphError(f"{kind} {name!r} of two computed values is not supported")
            values = [reader.value(source) for source in tensors]
            reader.append(ir.Add(name, values) if kind == "Add" else ir.Multiply(name, values))
            return
        first = tensors[0] == sources[0]
        operand = _per_channel(reader, name, tensors[0], sources[1] if first else sources[0])
        ones, zeros = np.ones_like(operand), np.zeros_like(operand)
        if kind == "Div" and not first:
            raise GraphError(f"Div {name!r} of a constant is not supported")
        scale, shift = {
            "Add": (ones, operand),
            "Sub": (ones, -operand) if first else (-ones, operand),
            "Mul": (operand, zeros),
            "Div": (1 / operand, zeros) if kind == "Div" else (ones, zeros),
        }[kind]
        reader.append(ir.Affine(name, [reader.value(tensors[0])], scale, shift))

    return read


def _prelu(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    slope = reader.constant(sources[1], name)
    shape = reader.shape(sources[0])
    # Some exporters leave the slopes without the dimensions of the picture.
    if slope.shape == (shape[1],):
        slope = slope.reshape(-1, *(1 for _ in shape[2:]))
    reader.constants[sources[1]] = slope
    slopes = _per_channel(reader, name, sources[0], sources[1])
    reader.append(ir.PRelu(name, [reader.value(sources[0])], slopes))


def _clip(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    limits = {"low": attributes.get("min", -math.inf), "high": attributes.get("max", math.inf)}
    for limit, source in zip(("low", "high"), sources[1:]):
        if source:
            limits[limit] = float(reader.constant(source, name).reshape(()))
    reader.append(ir.Clip(name, [reader.value(sources[0])], **limits))


def _relu(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    reader.append(ir.Clip(name, [reader.value(sources[0])], low=0.0))


def _sigmoid(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    reader.append(ir.Sigmoid(name, [reader.value(sources[0])]))


def _softmax(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    rank = len(reader.shape(sources[0]))
    axis = attributes.get("axis", -1) % rank
    if rank != 2 or axis != 1:
        raise GraphError(f"Softmax {name!r} is over axis {axis} of {rank}: not supported")
    reader.append(ir.Softmax(name, [reader.value(sources[0])], axis))


def _pool(kind: str) -> Operator:
    def read(
        reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
    ) -> None:
        padding = _padding(name, attributes)
        if kind == "average" and any(padding) and attributes.get("count_include_pad"):
            raise GraphError(f"node {name!r} counts its padding, which is not supported")
        if _pair(attributes, "dilations") != (1, 1):
            raise GraphError(f"node {name!r} is a dilated pooling, which is not supported")
        size, stride = _pair(attributes, "kernel_shape"), _pair(attributes, "strides")
        reader.append(ir.Pool(name, [reader.value(sources[0])], kind, size, stride, padding))

    return read


def _mean(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    reader.append(ir.Mean(name, [reader.value(sources[0])], keep_dims=True))


def _resize(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    way = (
        attributes.get("coordinate_transformation_mode", "half_pixel"),
        attributes.get("nearest_mode", "round_prefer_floor"),
    )
    if attributes.get("mode", "nearest") != "nearest" or way not in _REPEATING:
        raise GraphError(f"Resize {name!r} does not repeat pixels, which is not supported")
    shape = reader.shape(sources[0])
    scales = reader.constant(sources[2], name) if len(sources) > 2 and sources[2] else np.zeros(0)
    if scales.size:
        factors = scales.reshape(-1)[2:]
    else:
        factors = reader.constant(sources[3], name).reshape(-1)[2:] / np.array(shape[2:])
    factor = int(factors[0])
    if len(shape) != 4 or len(factors) != 2 or factor < 1 or not (factors == factor).all():
        raise GraphError(f"Resize {name!r} is by {factors.tolist()}: not by a whole number")
    reader.append(ir.Enlarge(name, [reader.value(sources[0])], factor))


def _flatten(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    shape = reader.shape(sources[0])
    if attributes.get("axis", 1) != 1 or -1 in shape[1:]:
        raise GraphError(f"Flatten {name!r} of {shape} is not supported")
    reader.append(ir.Reshape(name, [reader.value(sources[0])], (-1, math.prod(shape[1:]))))


def _reshape(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    """The first dimension of the target is the batch, whatever size the file fixes it to.

    Rows of one picture, whose target has no batch, get one.
    """
    target = [int(length) for length in reader.constant(sources[1], name).reshape(-1)]
    shape, rest = reader.shape(sources[0]), target[1:]
    if target[0] == -1 and sources[0] in reader.rows:
        rest = target
    elif target[0] not in (-1, 0, 1):
        raise GraphError(f"Reshape {name!r} to {target} moves elements across the batch")
    rest = [shape[axis + 1] if length == 0 else length for axis, length in enumerate(rest)]
    if -1 in rest and -1 not in shape[1:]:
        known = math.prod(length for length in rest if length != -1)
        rest[rest.index(-1)] = math.prod(shape[1:]) // max(known, 1)
    if rest.count(-1) > 1 or (-1 not in rest and -1 in shape[1:]):
        raise GraphError(f"Reshape {name!r} of {shape} to {target} is not supported")
    reader.append(ir.Reshape(name, [reader.value(sources[0])], (-1, *rest)))


def _transpose(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    order = tuple(attributes["perm"])
    if order == _ROWS_OF_ONE_PICTURE:
        order = _ROWS_OF_EACH_PICTURE
        reader.rows.add(name)
    if order[0] != 0:
        raise GraphError(f"Transpose {name!r} moves the batch, which is not supported")
    reader.append(ir.Transpose(name, [reader.value(sources[0])], order))


def _concat(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    axis = attributes["axis"] % len(reader.shape(sources[0]))
    if axis == 0:
        raise GraphError(f"Concat {name!r} joins batches, which is not supported")
    reader.append(ir.Concat(name, [reader.value(source) for source in sources], axis))


def _product(
    reader: OnnxReader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    """A Gemm or a MatMul with a constant second factor."""
    if attributes.get("transA") or attributes.get("alpha", 1.0) != 1:
        raise GraphError(f"Gemm {name!r} turns or scales its first factor: not supported")
    weight = reader.constant(sources[1], name).astype(np.float32)
    weight = np.ascontiguousarray(weight.T if attributes.get("transB") else weight)
    if weight.ndim != 2 or len(reader.shape(sources[0])) != 2:
        raise GraphError(f"product {name!r} is none of rows and a matrix")
    bias = np.zeros(weight.shape[1], np.float32)
    if len(sources) > 2:
        given = reader.constant(sources[2], name).astype(np.float32).reshape(-1)
        bias = bias + given * np.float32(attributes.get("beta", 1.0))
    reader.append(ir.MatMul(name, [reader.value(sources[0])], weight, bias))


def _passed_on(reader: OnnxReader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    reader.alias(name, sources[0])


OPERATORS: dict[str, Operator] = {
    "Add": _arithmetic("Add"),
    "AveragePool": _pool("average"),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _arithmetic("Div"),
    "Dropout": _passed_on,
    "Flatten": _flatten,
    "Gemm": _product,
    "GlobalAveragePool": _mean,
    "Identity": _passed_on,
    "MatMul": _product,
    "MaxPool": _pool("max"),
    "Mul": _arithmetic("Mul"),
    "PRelu": _prelu,
    "Relu": _relu,
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _sigmoid,
    "Softmax": _softmax,
    "Sub": _arithmetic("Sub"),
    "Transpose": _transpose,
}
