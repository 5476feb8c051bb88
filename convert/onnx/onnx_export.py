"""Writes a graph as an ONNX model, so that another runtime computes the same network."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from convert.network import graph as ir
from convert.network.graph import Graph, GraphError, Node
from convert.network.optimize import optimize
from convert.network.paddle_program import read_program

_OPSET = 13
_IR_VERSION = 8


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """The model, inputs named as in the graph, outputs by their aliases, the batch dynamic.

    Raises GraphError for a node that has no ONNX counterpart here.
    """
    shapes = graph.shapes()
    writer = _Writer(shapes)
    for node in graph:
        writer.write(node)
    for output in graph.outputs:
        writer.append("Identity", f"output:{output.alias}", [output.value])
    made = helper.make_graph(
        writer.nodes,
        "network",
        [_described(name, shape) for name, shape in graph.inputs.items()],
        [_described(f"output:{item.alias}", shapes[item.value]) for item in graph.outputs],
        writer.constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    return model


def program_as_onnx(server_dir: Path) -> bytes:
    """A converted model's network, from its folder in serving format.

    Raises GraphError where it cannot be written as ONNX.
    """
    written: bytes = to_onnx(optimize(read_program(server_dir))).SerializeToString()
    return written


def _described(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    sizes = [f"{name}:{axis}" if size == -1 else size for axis, size in enumerate(shape)]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *sizes[1:]])


class _Writer:
    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._shapes = shapes

    def write(self, node: Node) -> None:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            kind = type(node).__name__
            raise GraphError(f"operator {kind} of node {node.name!r} has no ONNX counterpart")
        method(node)

    def append(self, kind: str, name: str, inputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        array = np.ascontiguousarray(values, dtype)
        self.constants.append(numpy_helper.from_array(array.reshape(np.shape(values)), name))
        return name

    def _per_channel(self, node: Node, name: str, values: np.ndarray) -> str:
        ones = (1,) * (len(self._shapes[node.inputs[0]]) - 2)
        return self.constant(f"{node.name}:{name}", values.reshape(-1, *ones))

    def _conv(self, node: ir.Conv) -> None:
        inputs = [node.inputs[0], self.constant(f"{node.name}:weight", node.weight)]
        if node.bias.any():
            inputs.append(self.constant(f"{node.name}:bias", node.bias))
        self.append(
            "Conv",
            node.name,
            inputs,
            kernel_shape=list(node.weight.shape[2:]),
            strides=list(node.stride),
            pads=_begins_then_ends(node.padding),
            dilations=list(node.dilation),
            group=node.groups,
        )

    def _affine(self, node: ir.Affine) -> None:
        scaled = f"{node.name}:scaled"
        self.append("Mul", scaled, [node.inputs[0], self._per_channel(node, "scale", node.scale)])
        self.append("Add", node.name, [scaled, self._per_channel(node, "shift", node.shift)])

    def _clip(self, node: ir.Clip) -> None:
        if (node.low, node.high) == (0, math.inf):
            self.append("Relu", node.name, node.inputs)
            return
        low = self.constant(f"{node.name}:low", node.low)
        self.append(
            "Clip", node.name, [*node.inputs, low, self.constant(f"{node.name}:high", node.high)]
        )

    def _prelu(self, node: ir.PRelu) -> None:
        self.append(
            "PRelu", node.name, [*node.inputs, self._per_channel(node, "slope", node.slope)]
        )

    def _sigmoid(self, node: ir.Sigmoid) -> None:
        self.append("Sigmoid", node.name, node.inputs)

    def _softmax(self, node: ir.Softmax) -> None:
        self.append("Softmax", node.name, node.inputs, axis=node.axis)

    def _add(self, node: ir.Add) -> None:
        self.append("Add", node.name, node.inputs)

    def _multiply(self, node: ir.Multiply) -> None:
        self.append("Mul", node.name, node.inputs)

    def _pool(self, node: ir.Pool) -> None:
        self.append(
            "MaxPool" if node.kind == "max" else "AveragePool",
            node.name,
            node.inputs,
            kernel_shape=list(node.size),
            strides=list(node.stride),
            pads=_begins_then_ends(node.padding),
        )

    def _mean(self, node: ir.Mean) -> None:
        if node.keep_dims:
            self.append("GlobalAveragePool", node.name, node.inputs)
            return
        pooled = f"{node.name}:pooled"
        self.append("GlobalAveragePool", pooled, node.inputs)
        self.append("Flatten", node.name, [pooled], axis=1)

    def _enlarge(self, node: ir.Enlarge) -> None:
        factors = self.constant(f"{node.name}:factors", [1, 1, node.factor, node.factor])
        self.append(
            "Resize",
            node.name,
            [*node.inputs, "", factors],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )

    def _pad(self, node: ir.Pad) -> None:
        counts = [before for before, _ in node.pads] + [after for _, after in node.pads]
        self.append(
            "Pad", node.name, [*node.inputs, self.constant(f"{node.name}:pads", counts, np.int64)]
        )

    def _concat(self, node: ir.Concat) -> None:
        self.append("Concat", node.name, node.inputs, axis=node.axis)

    def _transpose(self, node: ir.Transpose) -> None:
        self.append("Transpose", node.name, node.inputs, perm=list(node.order))

    def _reshape(self, node: ir.Reshape) -> None:
        # A -1 stands once; a 0 keeps the dimension as it is.
        target = [0 if -1 in node.shape[1:] else -1, *node.shape[1:]]
        shape = self.constant(f"{node.name}:shape", target, np.int64)
        self.append("Reshape", node.name, [*node.inputs, shape])

    def _matmul(self, node: ir.MatMul) -> None:
        weight = self.constant(f"{node.name}:weight", node.weight)
        bias = self.constant(f"{node.name}:bias", node.bias)
        if len(self._shapes[node.inputs[0]]) == 2:
            self.append("Gemm", node.name, [node.inputs[0], weight, bias])
            return
        self.append("MatMul", f"{node.name}:product", [node.inputs[0], weight])
        self.append("Add", node.name, [f"{node.name}:product", bias])


def _begins_then_ends(padding: tuple[int, int, int, int]) -> list[int]:
    top, bottom, left, right = padding
    return [top, left, bottom, right]
