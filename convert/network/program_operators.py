"""One method for each operator that a Paddle program is written with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import paddle

from convert.network import graph as ir
from convert.network.graph import GraphError, Node, Shape

_ACTIVATIONS = (ir.Clip, ir.Sigmoid)


class Writer:
    """Appends operators to a block and their parameters to a scope.

    The operators are appended by name and not through Paddle's Python functions, which decide
    by themselves on kernels and names and write more operators than are needed.
    """

    def __init__(self, block: Any, scope: Any, shapes: dict[str, Shape]) -> None:
        self.variables: dict[str, Any] = {}
        self._block = block
        self._scope = scope
        self._shapes = shapes
        self._written: dict[str, Node] = {}

    def write(self, node: Node, name: str) -> None:
        """Append ``node``, its result as the variable ``name``."""
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            kind = type(node).__name__
            raise GraphError(f"operator {kind} of node {node.name!r} has no Paddle counterpart")
        if self._block.has_var(name):
            raise GraphError(f"node {node.name!r}: a variable {name!r} is there already")
        before = self._written.get(node.inputs[0])
        if isinstance(node, _ACTIVATIONS) and isinstance(before, _ACTIVATIONS):
            # Paddle 2.6 fuses both into the convolution before them and forgets the first.
            raise GraphError(
                f"nodes {before.name!r} and {node.name!r} are activations in a row, "
                "of which Paddle would compute the last only"
            )
        inputs = [self.variables[source] for source in node.inputs]
        self.variables[node.name] = method(node, name, inputs)
        self._written[node.name] = node

    def _variable(self, name: str) -> Any:
        return self._block.create_var(name=name, dtype="float32")

    def _parameter(self, name: str, values: np.ndarray) -> Any:
        values = np.ascontiguousarray(values, np.float32)
        tensor = self._scope.var(name).get_tensor()
        tensor.set(values, paddle.CPUPlace())
        return self._block.create_var(
            name=name, shape=values.shape, dtype="float32", persistable=True, stop_gradient=True
        )

    def _append(
        self, kind: str, name: str, inputs: dict[str, Any], slot: str = "Out", **attributes: Any
    ) -> Any:
        result = self._variable(name)
        outputs = {slot: result}
        if kind in ("reshape2", "transpose2"):
            outputs["XShape"] = self._variable(f"{name}.shape")
        self._block.append_op(type=kind, inputs=inputs, outputs=outputs, attrs=attributes)
        return result

    def _conv(self, node: ir.Conv, name: str, inputs: list[Any]) -> Any:
        channels = self._shapes[node.inputs[0]][1]
        depthwise = node.groups > 1 and node.groups == channels == len(node.weight)
        biased = bool(node.bias.any())
        result = self._append(
            "depthwise_conv2d" if depthwise else "conv2d",
            f"{name}.conv" if biased else name,
            {"Input": inputs[0], "Filter": self._parameter(f"{name}.weight", node.weight)},
            slot="Output",
            strides=list(node.stride),
            paddings=list(node.padding),
            dilations=list(node.dilation),
            groups=node.groups,
            padding_algorithm="EXPLICIT",
            data_format="NCHW",
            use_cudnn=not depthwise,
        )
        return self._biased(name, result, node.bias) if biased else result

    def _biased(self, name: str, value: Any, bias: np.ndarray) -> Any:
        parameter = self._parameter(f"{name}.bias", bias)
        return self._append("elementwise_add", name, {"X": value, "Y": parameter}, axis=1)

    def _affine(self, node: ir.Affine, name: str, inputs: list[Any]) -> Any:
        if not (node.scale != 1).any():
            return self._biased(name, inputs[0], node.shift)
        if len(self._shapes[node.name]) == 4:
            # oneDNN's product with one factor a channel takes several times as long.
            scale = node.scale[:, None, None, None]
            conv = ir.Conv(node.name, node.inputs, scale, node.shift, groups=len(scale))
            return self._conv(conv, name, inputs)
        shifted = bool(node.shift.any())
        factor = self._parameter(f"{name}.scale", node.scale)
        product = f"{name}.product" if shifted else name
        value = self._append("elementwise_mul", product, {"X": inputs[0], "Y": factor}, axis=1)
        return self._biased(name, value, node.shift) if shifted else value

    def _clip(self, node: ir.Clip, name: str, inputs: list[Any]) -> Any:
        if (node.low, node.high) == (0, math.inf):
            return self._append("relu", name, {"X": inputs[0]})
        if (node.low, node.high) == (0, 6):
            return self._append("relu6", name, {"X": inputs[0]}, threshold=6.0)
        limit = float(np.finfo(np.float32).max)
        low, high = max(node.low, -limit), min(node.high, limit)
        return self._append("clip", name, {"X": inputs[0]}, min=low, max=high)

    def _prelu(self, node: ir.PRelu, name: str, inputs: list[Any]) -> Any:
        slope = self._parameter(f"{name}.slope", node.slope)
        return self._append(
            "prelu", name, {"X": inputs[0], "Alpha": slope}, mode="channel", data_format="NCHW"
        )

    def _sigmoid(self, node: ir.Sigmoid, name: str, inputs: list[Any]) -> Any:
        return self._append("sigmoid", name, {"X": inputs[0]})

    def _softmax(self, node: ir.Softmax, name: str, inputs: list[Any]) -> Any:
        return self._append("softmax", name, {"X": inputs[0]}, axis=node.axis)

    def _add(self, node: ir.Add, name: str, inputs: list[Any]) -> Any:
        return self._append("elementwise_add", name, {"X": inputs[0], "Y": inputs[1]}, axis=-1)

    def _multiply(self, node: ir.Multiply, name: str, inputs: list[Any]) -> Any:
        return self._append("elementwise_mul", name, {"X": inputs[0], "Y": inputs[1]}, axis=-1)

    def _pool(self, node: ir.Pool, name: str, inputs: list[Any]) -> Any:
        return self._pool2d(
            name,
            inputs[0],
            pooling_type="max" if node.kind == "max" else "avg",
            ksize=list(node.size),
            strides=list(node.stride),
            paddings=list(node.padding),
            padding_algorithm="EXPLICIT",
            global_pooling=False,
        )

    def _pool2d(self, name: str, x: Any, **attributes: Any) -> Any:
        """A pooling with what all of them have in common."""
        return self._append(
            "pool2d",
            name,
            {"X": x},
            adaptive=False,
            ceil_mode=False,
            exclusive=True,
            data_format="NCHW",
            use_cudnn=True,
            **attributes,
        )

    def _mean(self, node: ir.Mean, name: str, inputs: list[Any]) -> Any:
        # Paddle's `reduce_mean` runs oneDNN's reference code: most of a millisecond for 1024 maps.
        pooled = self._pool2d(
            name if node.keep_dims else f"{name}.pooled",
            inputs[0],
            pooling_type="avg",
            ksize=[1, 1],
            strides=[1, 1],
            paddings=[0, 0],
            global_pooling=True,
        )
        if node.keep_dims:
            return pooled
        return self._append("reshape2", name, {"X": pooled}, shape=list(self._shapes[node.name]))

    def _pad(self, node: ir.Pad, name: str, inputs: list[Any]) -> Any:
        # A convolution that copies the channels: Paddle 2.6's `pad` operator writes past its
        # buffers for images, which corrupts the heap.
        if len(node.pads) != 4:
            raise GraphError(f"Pad {node.name!r} pads no image, which Paddle cannot")
        channels = self._shapes[node.inputs[0]][1]
        (before, after), rows, columns = node.pads[1:]
        copy = np.eye(before + channels + after, channels, -before, dtype=np.float32)
        bias = np.zeros(len(copy), np.float32)
        conv = ir.Conv(node.name, node.inputs, copy[:, :, None, None], bias)
        conv.padding = (*rows, *columns)
        return self._conv(conv, name, inputs)

    def _concat(self, node: ir.Concat, name: str, inputs: list[Any]) -> Any:
        return self._append("concat", name, {"X": inputs}, axis=node.axis)

    def _transpose(self, node: ir.Transpose, name: str, inputs: list[Any]) -> Any:
        return self._append("transpose2", name, {"X": inputs[0]}, axis=list(node.order))

    def _reshape(self, node: ir.Reshape, name: str, inputs: list[Any]) -> Any:
        # Paddle takes one -1 only, and a 0 for a dimension that stays as it is.
        target = [0 if -1 in node.shape[1:] else -1, *node.shape[1:]]
        return self._append("reshape2", name, {"X": inputs[0]}, shape=target)

    def _enlarge(self, node: ir.Enlarge, name: str, inputs: list[Any]) -> Any:
        return self._append(
            "nearest_interp_v2",
            name,
            {"X": inputs[0]},
            data_layout="NCHW",
            interp_method="nearest",
            align_corners=False,
            scale=[float(node.factor)] * 2,
            out_h=-1,
            out_w=-1,
        )

    def _matmul(self, node: ir.MatMul, name: str, inputs: list[Any]) -> Any:
        weight = self._parameter(f"{name}.weight", node.weight)
        biased = bool(node.bias.any())
        result = self._append(
            "matmul_v2",
            f"{name}.product" if biased else name,
            {"X": inputs[0], "Y": weight},
            trans_x=False,
            trans_y=False,
        )
        if not biased:
            return result
        parameter = self._parameter(f"{name}.bias", node.bias)
        return self._append("elementwise_add", name, {"X": result, "Y": parameter}, axis=-1)
