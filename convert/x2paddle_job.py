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
    free_batch(model.graph, spec["input_size"])
    del model.graph.value_info[:]  # shapes of a batch of one
    out_dir = Path(spec["out_dir"])
    patched = out_dir / "patched.onnx"
    onnx.save(model, str(patched))

    from x2paddle.convert import onnx2paddle

    # disable_feedback: X2Paddle else reports each conversion to its makers.
    onnx2paddle(str(patched), str(out_dir / "x2paddle"), disable_feedback=True)


def free_batch(graph: Any, input_size: list[int] | None) -> None:
    """Make the batch dimension dynamic, and the picture's size fixed where one is given.

    A reshape to (1, K) or to rows (-1, K) of all samples together keeps the batch apart instead:
    outputs that were (anchors, K) become (N, anchors, K).
    """
    for tensor in graph.input:
        dims = tensor.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        for dim, size in zip(dims[2:], input_size or []):
            dim.dim_value = size
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
