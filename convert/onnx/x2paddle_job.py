"""Runs inside X2Paddle's environment: frees an ONNX graph's batch and writes it as Paddle model.

``python x2paddle_job.py SPEC.json`` with the keys ``onnx`` (path), ``out_dir`` and
``input_size`` (height and width, or null to keep what the graph says). Imports nothing of this
project, since that environment does not have what it needs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

# A channel map to rows of anchors, (N, C, H, W) to (H, W, N, C), as detectors end that were
# exported for one picture; and the same with the batch in front.
ROWS_OF_ONE_PICTURE = [2, 3, 0, 1]
ROWS_OF_EACH_PICTURE = [0, 2, 3, 1]


def main(spec_file: str) -> None:
    """Convert as the JSON file says; X2Paddle writes below ``out_dir/x2paddle``."""
    spec = json.loads(Path(spec_file).read_text())
    model = onnx.load(spec["onnx"])
    if spec["input_size"] is not None:
        fix_size(model, spec["input_size"])
    free_batch(model.graph)
    del model.graph.value_info[:]  # shapes of a batch of one
    out_dir = Path(spec["out_dir"])
    patched = out_dir / "patched.onnx"
    onnx.save(model, str(patched))

    from x2paddle.convert import onnx2paddle

    # disable_feedback: X2Paddle else reports each conversion to its makers.
    onnx2paddle(str(patched), str(out_dir / "x2paddle"), disable_feedback=True)


def fix_size(model: Any, size: list[int]) -> None:
    """Give pictures a fixed height and width, and every Resize a factor instead of a size.

    Graphs for any size of picture compute the size that a Resize goes to from the shape of
    another tensor, in a dozen operators that become constant with the picture's size.
    """
    for tensor in model.graph.input:
        for dim, pixels in zip(tensor.type.tensor_type.shape.dim[2:], size):
            dim.dim_value = pixels
    for name, factors in _resize_factors(model).items():
        for node in model.graph.node:
            if node.output[0] == name:
                constant = numpy_helper.from_array(factors, f"{name}_factors")
                model.graph.initializer.append(constant)
                node.input[:] = [node.input[0], node.input[1], constant.name]
    _drop_unused(model.graph)


def _resize_factors(model: Any) -> dict[str, np.ndarray]:
    """By a Resize's output: how much it enlarges each dimension, found with a batch of one."""
    scratch = onnx.ModelProto()
    scratch.CopyFrom(model)
    for tensor in scratch.graph.input:
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    for tensor in scratch.graph.output:
        tensor.type.tensor_type.ClearField("shape")
    del scratch.graph.value_info[:]
    factors: dict[str, np.ndarray] = {}
    pending = [n for n in scratch.graph.node if n.op_type == "Resize" and len(n.input) == 4]
    for node in pending:  # in the graph's order: a later one may depend on an earlier one
        shapes = _known_shapes(scratch)
        for other in scratch.graph.node:
            if other.op_type == "Shape" and other.input[0] in shapes:
                _make_constant(other, np.array(shapes[other.input[0]], np.int64))
        size = _constant_value(scratch, node.input[3])
        if size is None or node.input[0] not in shapes:
            continue
        factors[node.output[0]] = (size / shapes[node.input[0]]).astype(np.float32)
        name = f"{node.output[0]}_size"
        scratch.graph.initializer.append(numpy_helper.from_array(size, name))
        node.input[3] = name
    return factors


def _known_shapes(model: Any) -> dict[str, list[int]]:
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {}
    for tensor in [*inferred.input, *inferred.value_info]:
        dims = tensor.type.tensor_type.shape.dim
        if dims and all(dim.HasField("dim_value") for dim in dims):
            shapes[tensor.name] = [dim.dim_value for dim in dims]
    return shapes


def _make_constant(node: Any, value: np.ndarray) -> None:
    node.op_type = "Constant"
    del node.input[:]
    del node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute("value", numpy_helper.from_array(value)))


def _constant_value(model: Any, name: str) -> np.ndarray | None:
    """The value of a tensor that depends on constants alone, else None."""
    from onnx.reference import ReferenceEvaluator

    nodes: list[Any] = []
    wanted = {name}
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            nodes.insert(0, node)
            wanted.update(node.input)
    if wanted.intersection(tensor.name for tensor in model.graph.input):
        return None
    constants = [tensor for tensor in model.graph.initializer if tensor.name in wanted]
    result = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None)
    graph = onnx.helper.make_graph(nodes, "constant", [], [result], constants)
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    results: Any = ReferenceEvaluator(part).run(None, {})
    return results[0]


def _drop_unused(graph: Any) -> None:
    used = {tensor.name for tensor in graph.output}
    kept: list[Any] = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            used.update(node.input)
            kept.insert(0, node)
    del graph.node[:]
    graph.node.extend(kept)


def free_batch(graph: Any) -> None:
    """Make the batch dimension dynamic.

    A reshape to (1, K) or to rows (-1, K) of all samples together keeps the batch apart instead:
    outputs that were (anchors, K) become (N, anchors, K).
    """
    for tensor in graph.input:
        tensor.type.tensor_type.shape.dim[0].dim_param = "batch"
    for tensor in graph.output:
        tensor.type.tensor_type.ClearField("shape")
    rows = _keep_batch_in_transposes(graph)
    _keep_batch_in_reshapes(graph, rows)
    model_outputs = {tensor.name for tensor in graph.output}
    _declare_outputs(graph, model_outputs)


def _keep_batch_in_transposes(graph: Any) -> set[str]:
    """Names of the tensors that now are (N, H, W, C)."""
    changed = set()
    for node in graph.node:
        if node.op_type != "Transpose":
            continue
        for attribute in node.attribute:
            if attribute.name == "perm" and list(attribute.ints) == ROWS_OF_ONE_PICTURE:
                attribute.ints[:] = ROWS_OF_EACH_PICTURE
                changed.add(node.output[0])
    return changed


def _keep_batch_in_reshapes(graph: Any, rows: set[str]) -> None:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    for number, node in enumerate(graph.node):
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        target = constants[node.input[1]].tolist()
        if node.input[0] in rows and target[0] == -1:
            target = [0, *target]  # a 0 keeps the dimension as it is
        elif target[0] == 1:
            target[0] = 0
        else:
            continue
        name = f"batched_shape_{number}"
        graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), name))
        node.input[1] = name


def _declare_outputs(graph: Any, names: set[str]) -> None:
    """The checker wants a shape on every output: let ONNX infer it for the new batch."""
    opset = onnx.helper.make_opsetid("", 11)
    model = onnx.helper.make_model(graph, opset_imports=[opset])
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {tensor.name: tensor for tensor in inferred.output if tensor.name in names}
    for tensor in graph.output:
        tensor.CopyFrom(shapes[tensor.name])


if __name__ == "__main__":
    main(sys.argv[1])
