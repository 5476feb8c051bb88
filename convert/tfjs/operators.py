"""One function for each TensorFlow operator that the graph models use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from convert.network import graph as ir
from convert.network.graph import GraphError, Node, Shape
from convert.network.reader import Reader

_NHWC_TO_NCHW = (0, 3, 1, 2)
_NCHW_TO_NHWC = (0, 2, 3, 1)
_AXIS_IN_NCHW = {0: 0, 1: 2, 2: 3, 3: 1, -1: 1, -2: 3, -3: 2}


Operator = Callable[[Reader, str, Sequence[str], Mapping[str, Any]], None]


def _windowing(
    shape: Shape, size: Sequence[int], name: str, attributes: Mapping[str, Any]
) -> tuple[tuple[int, int], tuple[int, int, int, int], tuple[int, int]]:
    """Stride, padding (top, bottom, left, right) and dilation of a windowed operator."""
    if attributes.get("data_format", "NHWC") != "NHWC":
        raise GraphError(f"node {name!r} is {attributes['data_format']}; only NHWC is supported")
    stride = tuple(attributes["strides"][1:3])
    dilation = tuple(attributes.get("dilations") or (1, 1, 1, 1))[1:3]
    mode = attributes["padding"]
    if mode == "EXPLICIT":
        explicit = attributes["explicit_paddings"]
        return stride, tuple(explicit[2:6]), dilation
    padding: list[int] = []
    for length, k, s, d in zip(shape[2:], size, stride, dilation):
        # SAME: ceil(length / stride) windows, the odd zero of the padding at the end.
        reach = (k - 1) * d + 1
        total = max((-(-length // s) - 1) * s + reach - length, 0) if mode == "SAME" else 0
        padding += [total // 2, total - total // 2]
    return stride, tuple(padding), dilation  # type: ignore[return-value]


def _activate(reader: Reader, name: str, value: str, kind: str, slope: str = "") -> str:
    if kind == "Relu":
        return reader.add(ir.Clip(name, [value], low=0.0))
    if kind == "Relu6":
        return reader.add(ir.Clip(name, [value], low=0.0, high=6.0))
    if kind == "Prelu":
        return reader.add(ir.PRelu(name, [value], reader.constant(slope, name).reshape(-1)))
    if kind == "Sigmoid":
        return reader.add(ir.Sigmoid(name, [value]))
    raise GraphError(f"activation {kind!r} fused into node {name!r} is not supported")


def _finish(
    reader: Reader, node: ir.Conv | ir.MatMul, sources: Sequence[str], fused: Sequence[str]
) -> None:
    """Append a convolution or product with the bias and activation that are fused into it."""
    name, extra = node.name, list(sources[2:])
    rest = list(fused)
    if rest and rest[0] == "BiasAdd":
        node.bias = reader.constant(extra.pop(0), name).astype(np.float32)
        rest.pop(0)
    if len(rest) > 1:
        raise GraphError(f"operators {rest} fused into node {name!r} are not supported")
    if not rest:
        reader.append(node)
        return
    node.name = f"{name}/linear"
    slope = extra.pop(0) if rest[0] == "Prelu" else ""
    reader.define(name, _activate(reader, name, reader.add(node), rest[0], slope))


def _conv(reader: Reader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]) -> None:
    kernel = reader.constant(sources[1], name)  # height, width, in, out
    shape = reader.shape(sources[0])
    stride, padding, dilation = _windowing(shape, kernel.shape[:2], name, attributes)
    node = ir.Conv(
        name,
        [reader.value(sources[0])],
        weight=np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)),
        bias=np.zeros(kernel.shape[3], np.float32),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=shape[1] // kernel.shape[2],
    )
    _finish(reader, node, sources, attributes.get("fused_ops", []))


def _depthwise(
    reader: Reader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    kernel = reader.constant(sources[1], name)  # height, width, channels, multiplier
    height, width, channels, multiplier = kernel.shape
    shape = reader.shape(sources[0])
    stride, padding, dilation = _windowing(shape, (height, width), name, attributes)
    weight = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    node = ir.Conv(
        name,
        [reader.value(sources[0])],
        weight=np.ascontiguousarray(weight),
        bias=np.zeros(channels * multiplier, np.float32),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=channels,
    )
    _finish(reader, node, sources, attributes.get("fused_ops", []))


def _matmul(
    reader: Reader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    if attributes.get("transpose_a"):
        raise GraphError(f"node {name!r} transposes its first factor, which is not supported")
    weight = reader.constant(sources[1], name)
    weight = np.ascontiguousarray(weight.T if attributes.get("transpose_b") else weight)
    bias = np.zeros(weight.shape[1], np.float32)
    node = ir.MatMul(name, [reader.value(sources[0])], weight, bias)
    _finish(reader, node, sources, attributes.get("fused_ops", []))


def _per_channel(reader: Reader, name: str, constant: str, channels: int) -> np.ndarray:
    """A constant operand as one value for each channel."""
    values = reader.constant(constant, name).astype(np.float32)
    if values.size not in (1, channels) or (values.size > 1 and values.shape[-1] != channels):
        raise GraphError(f"node {name!r} has an operand of shape {values.shape}: not per channel")
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1), channels))


def _arithmetic(product: bool) -> Operator:
    def read(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
        tensors = [source for source in sources if source not in reader.constants]
        values = [reader.value(source) for source in tensors]
        if len(tensors) == 2:
            node: Node = ir.Multiply(name, values) if product else ir.Add(name, values)
        else:
            shape = reader.shape(tensors[0])
            channels = shape[1] if len(shape) in (2, 4) else 0
            constant = next(source for source in sources if source in reader.constants)
            operand = _per_channel(reader, name, constant, channels)
            scale = operand if product else np.ones_like(operand)
            shift = np.zeros_like(operand) if product else operand
            node = ir.Affine(name, values, scale, shift)
        reader.append(node)

    return read


def _batch_norm(
    reader: Reader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
) -> None:
    reader.batch_norm(name, sources, attributes.get("epsilon", 1e-4))


def _bound(upper: bool) -> Operator:
    def read(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
        constant = next((source for source in sources if source in reader.constants), sources[1])
        bound = reader.constant(constant, name)
        if bound.size != 1:
            raise GraphError(f"node {name!r} has a bound of shape {bound.shape}: not a scalar")
        tensor = next(source for source in sources if source != constant)
        limits = {"high" if upper else "low": float(bound.reshape(()))}
        reader.append(ir.Clip(name, [reader.value(tensor)], **limits))

    return read


def _activation(kind: str) -> Operator:
    def read(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
        slope = sources[1] if kind == "Prelu" else ""
        reader.define(name, _activate(reader, name, reader.value(sources[0]), kind, slope))

    return read


def _pool(kind: str) -> Operator:
    def read(
        reader: Reader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]
    ) -> None:
        height, width = attributes["ksize"][1:3]
        shape = reader.shape(sources[0])
        stride, padding, _ = _windowing(shape, (height, width), name, attributes)
        node = ir.Pool(name, [reader.value(sources[0])], kind, (height, width), stride, padding)
        reader.append(node)

    return read


def _mean(reader: Reader, name: str, sources: Sequence[str], attributes: Mapping[str, Any]) -> None:
    axes = sorted(int(axis) % 4 for axis in reader.constant(sources[1], name).reshape(-1))
    if len(reader.shape(sources[0])) != 4 or axes != [1, 2]:
        raise GraphError(f"Mean {name!r} over axes {axes}: only height and width are supported")
    keep_dims = bool(attributes.get("keep_dims"))
    reader.append(ir.Mean(name, [reader.value(sources[0])], keep_dims))


def _softmax(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    axis = 1 if len(reader.shape(sources[0])) == 4 else -1
    reader.append(ir.Softmax(name, [reader.value(sources[0])], axis))


def _pad(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    pads = [(int(before), int(after)) for before, after in reader.constant(sources[1], name)]
    if len(pads) == 4:
        pads = [pads[axis] for axis in _NHWC_TO_NCHW]
    if pads[0] != (0, 0):
        raise GraphError(f"node {name!r} pads the batch, which is not supported")
    reader.append(ir.Pad(name, [reader.value(sources[0])], pads))


def _concat(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    axis = int(reader.constant(sources[-1], name).reshape(()))
    rank = len(reader.shape(sources[0]))
    axis = _AXIS_IN_NCHW[axis] if rank == 4 else axis % rank
    values = [reader.value(source) for source in sources[:-1]]
    reader.append(ir.Concat(name, values, axis))


def _reshape(reader: Reader, name: str, sources: Sequence[str], _: Mapping[str, Any]) -> None:
    """The first dimension of the target is the batch, whatever size the file fixes it to."""
    target = [int(length) for length in reader.constant(sources[1], name)]
    shape, value = reader.shape(sources[0]), reader.value(sources[0])
    elements, rest = math.prod(shape[1:]), target[1:]
    if -1 in rest:
        known = math.prod(length for length in rest if length != -1)
        rest[rest.index(-1)] = elements // max(known, 1)
    if math.prod(rest) != elements:
        raise GraphError(f"Reshape {name!r} to {target} moves elements across the batch")
    if len(shape) == 4:
        value = reader.add(ir.Transpose(f"{name}/nhwc", [value], _NCHW_TO_NHWC))
    if len(rest) == 3:
        value = reader.add(ir.Reshape(f"{name}/rows", [value], (-1, *rest)))
        reader.append(ir.Transpose(name, [value], _NHWC_TO_NCHW))
    else:
        reader.append(ir.Reshape(name, [value], (-1, *rest)))


OPERATORS: dict[str, Operator] = {
    "Add": _arithmetic(product=False),
    "AddV2": _arithmetic(product=False),
    "AvgPool": _pool("average"),
    "BiasAdd": _arithmetic(product=False),
    "ConcatV2": _concat,
    "Conv2D": _conv,
    "DepthwiseConv2dNative": _depthwise,
    "FusedBatchNormV3": _batch_norm,
    "FusedDepthwiseConv2dNative": _depthwise,
    "MatMul": _matmul,
    "MaxPool": _pool("max"),
    "Maximum": _bound(upper=False),
    "Mean": _mean,
    "Minimum": _bound(upper=True),
    "Mul": _arithmetic(product=True),
    "Pad": _pad,
    "Prelu": _activation("Prelu"),
    "Relu": _activation("Relu"),
    "Relu6": _activation("Relu6"),
    "Reshape": _reshape,
    "Sigmoid": _activation("Sigmoid"),
    "Softmax": _softmax,
    "_FusedConv2D": _conv,
    "_FusedMatMul": _matmul,
}
