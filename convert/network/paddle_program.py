"""Reads a Paddle inference model back into the converter's intermediate graph.

The graph can be written as ONNX, so that another runtime computes the same network. What
:mod:`convert.network.program` writes for Paddle's sake only (a padding or a scale as a convolution)
is turned back, so that the other runtime is not held up by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from convert.network import graph as ir
from convert.network.graph import Graph, GraphError, Node
from convert.network.program import static_mode


def read_program(folder: Path) -> Graph:
    """The network of ``inference.pdmodel`` and ``inference.pdiparams`` in ``folder``.

    Outputs have their variables' names as aliases. Raises GraphError naming the operator that
    has no counterpart.
    """
    with static_mode():
        executor = paddle.static.Executor(paddle.CPUPlace())
        program, feeds, fetches = paddle.static.load_inference_model(
            str(folder / "inference"), executor
        )
        block, scope = program.global_block(), paddle.static.global_scope()
        reader = _Reader()
        for name, variable in block.vars.items():
            if variable.persistable and name not in ("feed", "fetch"):
                reader.constants[name] = np.array(scope.find_var(name).get_tensor())
        for name in feeds:
            reader.graph.inputs[name] = (-1, *block.var(name).shape[1:])
        for operator in block.ops:
            reader.read(operator)
        reader.graph.outputs = [
            ir.Output(variable.name, reader.value(variable.name)) for variable in fetches
        ]
    reader.graph.prune()
    reader.graph.shapes()
    return reader.graph


class _Reader:
    def __init__(self) -> None:
        self.graph = Graph()
        self.constants: dict[str, np.ndarray] = {}
        self._same: dict[str, str] = {}
        self._shapes: dict[str, ir.Shape] = {}

    def value(self, name: str) -> str:
        return self._same.get(name, name)

    def read(self, operator: Any) -> None:
        if operator.type in ("feed", "fetch"):
            return
        read = _OPERATORS.get(operator.type)
        if read is None:
            raise GraphError(
                f"operator {operator.type!r} of {_result(operator)!r} is not supported"
            )
        made = read(self, operator, _result(operator))
        if isinstance(made, Node):
            known = {**self.graph.inputs, **self._shapes}
            self._shapes[made.name] = ir.shape_of(made, [known[item] for item in made.inputs])
            self.graph.add(made)
        elif isinstance(made, str):
            self._same[_result(operator)] = made

    def shape(self, value: str) -> ir.Shape:
        return self.graph.inputs.get(value) or self._shapes[value]

    def first(self, operator: Any, slot: str = "X") -> str:
        name = operator.input(slot)[0]
        if name in self.constants:
            raise GraphError(f"{operator.type} reads the constant {name!r} as a tensor")
        return self.value(name)


def _result(operator: Any) -> str:
    slots = ("Out", "Output", "Y")
    return str(next(operator.output(slot)[0] for slot in slots if slot in operator.output_names))


def _padding(operator: Any) -> tuple[int, int, int, int]:
    algorithm, given = operator.attr("padding_algorithm"), list(operator.attr("paddings"))
    if algorithm not in ("EXPLICIT", "VALID"):
        raise GraphError(f"padding {algorithm!r} of {operator.type} is not supported")
    if algorithm == "VALID":
        given = [0, 0]
    top, bottom, left, right = given if len(given) == 4 else np.repeat(given, 2).tolist()
    return top, bottom, left, right


def _conv(reader: _Reader, operator: Any, name: str) -> Node:
    weight = reader.constants[operator.input("Filter")[0]]
    source, padding = reader.first(operator, "Input"), _padding(operator)
    bias, (out, width, *window) = np.zeros(len(weight), np.float32), weight.shape
    channels, pointwise = reader.shape(source)[1], window == [1, 1]
    if pointwise and operator.attr("groups") == channels == out and not any(padding):
        return ir.Affine(name, [source], weight.reshape(-1), bias)
    copy = np.eye(out, width, dtype=np.float32)
    if pointwise and out > width and (weight[:, :, 0, 0] == copy).all():
        pads = [(0, 0), (0, out - width), padding[:2], padding[2:]]
        return ir.Pad(name, [source], pads)
    return ir.Conv(
        name,
        [source],
        weight,
        bias,
        stride=tuple(operator.attr("strides")),
        padding=padding,
        dilation=tuple(operator.attr("dilations")),
        groups=operator.attr("groups"),
    )


def _elementwise(product: bool) -> Callable[[_Reader, Any, str], Node]:
    def read(reader: _Reader, operator: Any, name: str) -> Node:
        source, other = reader.first(operator), operator.input("Y")[0]
        if other not in reader.constants:
            pair = [source, reader.value(other)]
            return ir.Multiply(name, pair) if product else ir.Add(name, pair)
        operand, channels = reader.constants[other].reshape(-1), reader.shape(source)[1]
        if operand.size not in (1, channels):
            raise GraphError(f"{operator.type} {name!r} has an operand that is not per channel")
        operand = np.broadcast_to(operand, channels).astype(np.float32)
        if product:
            return ir.Affine(name, [source], operand, np.zeros_like(operand))
        return ir.Affine(name, [source], np.ones_like(operand), operand)

    return read


def _batch_norm(reader: _Reader, operator: Any, name: str) -> Node:
    slots = ("Scale", "Bias", "Mean", "Variance")
    scale, shift, mean, variance = (
        reader.constants[operator.input(slot)[0]].astype(np.float64) for slot in slots
    )
    scale = scale / np.sqrt(variance + operator.attr("epsilon"))
    shift = (shift - mean * scale).astype(np.float32)
    return ir.Affine(name, [reader.first(operator)], scale.astype(np.float32), shift)


def _prelu(reader: _Reader, operator: Any, name: str) -> Node:
    source, slope = reader.first(operator), reader.constants[operator.input("Alpha")[0]]
    channels = reader.shape(source)[1]
    return ir.PRelu(name, [source], np.broadcast_to(slope.reshape(-1), channels))


def _scale(reader: _Reader, operator: Any, _: str) -> str:
    if operator.attr("scale") != 1 or operator.attr("bias") != 0:
        raise GraphError("a scale operator that changes its input is not supported")
    return reader.first(operator)


def _pool(reader: _Reader, operator: Any, name: str) -> Node:
    source = reader.first(operator)
    kind = "max" if operator.attr("pooling_type") == "max" else "average"
    whole = operator.attr("global_pooling") or (
        operator.attr("adaptive") and list(operator.attr("ksize")) == [1, 1]
    )
    if whole and kind == "average":
        return ir.Mean(name, [source], keep_dims=True)
    if whole or operator.attr("adaptive") or operator.attr("ceil_mode"):
        raise GraphError(f"pooling {name!r} is adaptive or rounds up, which is not supported")
    size, stride = tuple(operator.attr("ksize")), tuple(operator.attr("strides"))
    return ir.Pool(name, [source], kind, size, stride, _padding(operator))


def _reduce_mean(reader: _Reader, operator: Any, name: str) -> Node:
    if [axis % 4 for axis in operator.attr("dim")] != [2, 3]:
        raise GraphError(f"mean {name!r} is not over height and width")
    return ir.Mean(name, [reader.first(operator)], bool(operator.attr("keep_dim")))


def _reshape(reader: _Reader, operator: Any, name: str) -> Any:
    source, target = operator.input("X")[0], list(operator.attr("shape"))
    if source in reader.constants:
        reader.constants[name] = reader.constants[source].reshape(target)
        return None
    before = reader.shape(reader.value(source))
    rest = [before[axis + 1] if n == 0 else n for axis, n in enumerate(target[1:])]
    if -1 in rest and -1 not in before[1:]:
        rest[rest.index(-1)] = math.prod(before[1:]) // -math.prod(rest)
    return ir.Reshape(name, [reader.value(source)], (-1, *rest))


def _flatten(reader: _Reader, operator: Any, name: str) -> Node:
    source = reader.first(operator)
    shape = reader.shape(source)
    if (
        operator.attr("start_axis") != 1
        or operator.attr("stop_axis") % len(shape) != len(shape) - 1
    ):
        raise GraphError(f"flattening {name!r} keeps some dimensions, which is not supported")
    return ir.Reshape(name, [source], (-1, math.prod(shape[1:])))


def _matmul(reader: _Reader, operator: Any, name: str) -> Node:
    weight = reader.constants[operator.input("Y")[0]]
    if operator.attr("trans_x"):
        raise GraphError(f"product {name!r} transposes its first factor")
    weight = np.ascontiguousarray(weight.T if operator.attr("trans_y") else weight)
    bias = np.zeros(weight.shape[1], np.float32)
    return ir.MatMul(name, [reader.first(operator)], weight, bias)


_OPERATORS: dict[str, Callable[[_Reader, Any, str], Any]] = {
    "batch_norm": _batch_norm,
    "clip": lambda r, op, name: ir.Clip(name, [r.first(op)], op.attr("min"), op.attr("max")),
    "concat": lambda r, op, name: ir.Concat(
        name, [r.value(item) for item in op.input("X")], op.attr("axis")
    ),
    "conv2d": _conv,
    "depthwise_conv2d": _conv,
    "elementwise_add": _elementwise(product=False),
    "elementwise_mul": _elementwise(product=True),
    "flatten_contiguous_range": _flatten,
    "matmul_v2": _matmul,
    "nearest_interp_v2": lambda r, op, name: ir.Enlarge(
        name, [r.first(op)], int(op.attr("scale")[0])
    ),
    "pool2d": _pool,
    "prelu": _prelu,
    "reduce_mean": _reduce_mean,
    "relu": lambda r, op, name: ir.Clip(name, [r.first(op)], low=0.0),
    "relu6": lambda r, op, name: ir.Clip(name, [r.first(op)], low=0.0, high=6.0),
    "reshape2": _reshape,
    "scale": _scale,
    "sigmoid": lambda r, op, name: ir.Sigmoid(name, [r.first(op)]),
    "softmax": lambda r, op, name: ir.Softmax(name, [r.first(op)], op.attr("axis")),
    "transpose2": lambda r, op, name: ir.Transpose(name, [r.first(op)], tuple(op.attr("axis"))),
}
