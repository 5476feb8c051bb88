"""Reads ONNX networks into the converter's graph and writes them as Paddle programs.

Batch norms and scales are folded, the batch is free, and what a detector gives for one picture
it gives for each of a batch: outputs (cells, K) become (N, cells, K). What has operators that are
not known here is left to X2Paddle.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
from google.protobuf.message import DecodeError

from convert.network.graph import Graph, GraphError, Output, Shape, UnknownOperatorError
from convert.network.optimize import optimize
from convert.network.program import write_program
from convert.onnx.comparison import compare_with_onnxruntime
from convert.onnx.constants import FOLDED, array_of, shape_constant
from convert.onnx.operators import OPERATORS, OnnxReader
from convert.translation import Translation

InputSize = tuple[int, int] | Literal["any"] | None
# The first version of the operators whose meaning is the one here.
_OLDEST_OPSET = 7
# Numbers of AttributeProto.AttributeType and the field that each is in.
_ATTRIBUTES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints", 8: "strings"}


def translate(
    onnx_file: Path,
    out_dir: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    input_size: InputSize = None,
) -> Translation:
    """Write ``onnx_file`` as ``inference.pdmodel`` and ``inference.pdiparams`` into ``out_dir``.

    inputs, outputs: the roles of the graph's inputs and outputs, in its order.
    input_size: height and width in pixels, for a graph that leaves them open; "any" leaves, or
        makes, them open.

    Raises UnknownOperatorError for an operator that is not known, GraphError for another graph
    that cannot be translated, and VerificationError where the outputs differ from onnxruntime's
    (compared where onnxruntime is installed).
    """
    graph = optimize(read_graph(onnx_file, outputs=outputs, input_size=input_size))
    if len(graph.inputs) != len(inputs):
        raise GraphError(f"it has the inputs {', '.join(graph.inputs)}; expected {inputs}")
    translation = write_program(graph, out_dir, input_aliases=inputs)
    compare_with_onnxruntime(onnx_file, out_dir, translation)
    return translation


def _model(content: bytes) -> onnx.ModelProto:
    """What a file says; files beside it are not looked at. Raises GraphError for no ONNX model."""
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise GraphError("it is no ONNX model") from error
    if not model.graph.node or not model.opset_import:
        raise GraphError("it is no ONNX model")
    return model


def read_graph(onnx_file: Path, *, outputs: Sequence[str], input_size: InputSize = None) -> Graph:
    """The graph as it stands in the file, not yet optimised; see :func:`translate`."""
    model = _model(onnx_file.read_bytes())
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if versions.get("", 0) < _OLDEST_OPSET:
        raise GraphError(f"its operators are of version {versions}; known from {_OLDEST_OPSET} on")
    weights = {tensor.name: array_of(tensor) for tensor in model.graph.initializer}
    reader = OnnxReader(Graph(), weights)
    for given in model.graph.input:
        if given.name not in weights:
            reader.graph.inputs[given.name] = _input_shape(given, input_size)
            reader.define(given.name, given.name)
    for node in model.graph.node:
        _read_node(reader, node)
    if len(model.graph.output) != len(outputs):
        names = ", ".join(output.name for output in model.graph.output)
        raise GraphError(f"it has the outputs {names}; expected {', '.join(outputs)}")
    reader.graph.outputs = [
        Output(role, reader.value(output.name)) for role, output in zip(outputs, model.graph.output)
    ]
    return reader.graph


def _input_shape(given: Any, input_size: InputSize) -> Shape:
    sizes = [dim.dim_value or -1 for dim in given.type.tensor_type.shape.dim]
    if len(sizes) == 4 and input_size == "any":
        sizes[2:] = [-1, -1]
    elif len(sizes) == 4 and input_size is not None:
        sizes[2:] = [size if n == -1 else n for n, size in zip(sizes[2:], input_size)]
    if not sizes or (-1 in sizes[1:] and input_size != "any"):
        raise GraphError(f"its input {given.name!r} has the open shape {sizes}")
    return (-1, *sizes[1:])


def _read_node(reader: OnnxReader, node: Any) -> None:
    kind, sources = node.op_type, list(node.input)
    name = node.output[0]
    attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    try:
        if kind == "Constant" and "value" in attributes:
            reader.constants[name] = array_of(attributes["value"])
        elif kind == "Shape" and sources[0] not in reader.constants:
            reader.constants[name] = shape_constant(reader.shape(sources[0]), name)
        elif kind in FOLDED and all(source in reader.constants for source in sources):
            values = [reader.constants[source] for source in sources]
            reader.constants[name] = FOLDED[kind](attributes, values)
        elif kind in OPERATORS and not node.domain:
            OPERATORS[kind](reader, name, sources, attributes)
        else:
            known = ", ".join(sorted(OPERATORS))
            raise UnknownOperatorError(
                f"operator {kind!r} of node {name!r} is not known; known: {known}"
            )
    except (IndexError, KeyError, TypeError) as error:
        raise GraphError(f"{kind} {name!r} lacks what such a node has: {error}") from error


def _attribute(attribute: Any) -> Any:
    """A node's attribute as a plain Python value; a tensor as the file's message."""
    field = _ATTRIBUTES.get(attribute.type)
    if field is None:
        return None
    value = getattr(attribute, field)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if field.endswith("s") and field != "s" else value
