"""TensorFlow's operators in plain NumPy: what a TensorFlow.js graph means, node by node.

Written from TensorFlow's description of its operators and sharing nothing with `convert`: NHWC
throughout, double precision, weights decoded here, no rewriting of the graph.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np


def run_graph(json_path: Path, picture: np.ndarray, wanted: list[str]) -> list[np.ndarray]:
    """Values of the nodes `wanted` for `picture` (N, H, W, C)."""
    model = json.loads(json_path.read_text())
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    values = decode(model["weightsManifest"], json_path.parent)
    for name, node in nodes.items():
        if node["op"] == "Placeholder":
            values[name] = picture.astype(np.float64)

    def value(name: str) -> np.ndarray:
        if name not in values:
            node = nodes[name]
            inputs = [value(item.split(":")[0]) for item in node.get("input", [])]
            values[name] = compute(node["op"], inputs, attributes_of(node), len(picture))
        return values[name]

    return [value(name) for name in wanted]


def decode(manifest: list, folder: Path) -> dict[str, np.ndarray]:
    """Weights by name."""
    values = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        for entry in group["weights"]:
            quantization = entry.get("quantization", {})
            dtype = np.dtype(quantization.get("dtype", entry["dtype"]))
            size = int(np.prod(entry["shape"], dtype=int)) * dtype.itemsize
            array = np.frombuffer(data[:size], dtype).reshape(entry["shape"])
            data = data[size:]
            if "scale" in quantization:
                array = array * np.float64(quantization["scale"]) + quantization["min"]
            values[entry["name"]] = array if entry["dtype"] == "int32" else array.astype(np.float64)
    return values


def attributes_of(node: dict) -> dict:
    """Attributes as strings, numbers and lists of them."""
    plain = {}
    for key, entry in node.get("attr", {}).items():
        kind, content = next(iter(entry.items()))
        if kind == "list":
            kind, content = next(iter(content.items()), ("", []))
            plain[key] = [_plain(kind, item) for item in content]
        else:
            plain[key] = _plain(kind, content)
    return plain


def _plain(kind: str, content):
    if kind == "s":
        return base64.b64decode(content).decode()
    return int(content) if kind == "i" else content


def compute(kind: str, inputs: list[np.ndarray], attributes: dict, batch: int) -> np.ndarray:
    """One operator, with what is fused into it."""
    if kind.startswith("_Fused"):
        plain = {"_FusedConv2D": "Conv2D", "_FusedMatMul": "MatMul"}[kind]
        value, extra = compute(plain, inputs[:2], attributes, batch), inputs[2:]
        for fused in attributes["fused_ops"]:
            takes = 1 if fused in ("BiasAdd", "Prelu") else 0
            value = compute(fused, [value, *extra[:takes]], {}, batch)
            extra = extra[takes:]
        return value
    x = inputs[0]
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        return convolve(x, inputs[1], attributes, depthwise=kind != "Conv2D")
    if kind == "MaxPool":
        return pool(x, attributes)
    if kind == "Reshape":
        return x.reshape(batch, *inputs[1][1:])
    if kind == "Pad":
        return np.pad(x, inputs[1])
    simple = {
        "Identity": lambda: x,
        "Add": lambda: x + inputs[1],
        "AddV2": lambda: x + inputs[1],
        "BiasAdd": lambda: x + inputs[1],
        "Mul": lambda: x * inputs[1],
        "MatMul": lambda: x @ inputs[1],
        "Relu": lambda: np.maximum(x, 0),
        "Prelu": lambda: np.where(x > 0, x, x * inputs[1]),
        "Maximum": lambda: np.maximum(x, inputs[1]),
        "Minimum": lambda: np.minimum(x, inputs[1]),
        "Mean": lambda: x.mean(axis=tuple(inputs[1]), keepdims=attributes["keep_dims"]),
        "Sigmoid": lambda: 1 / (1 + np.exp(-x)),
        "Softmax": lambda: (
            np.exp(x - x.max(-1, keepdims=True))
            / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)
        ),
    }
    return simple[kind]()


def padded(x: np.ndarray, size: tuple, attributes: dict, fill: float) -> np.ndarray:
    """`x` with the border that padding SAME asks for."""
    if attributes["padding"] == "VALID":
        return x
    border = []
    for length, k, step in zip(x.shape[1:3], size, attributes["strides"][1:3]):
        count = (length + step - 1) // step
        total = max((count - 1) * step + k - length, 0)
        border.append((total // 2, total - total // 2))
    return np.pad(x, [(0, 0), *border, (0, 0)], constant_values=fill)


def windows(x: np.ndarray, size: tuple, strides: list):
    """Yields (row, column, the pixel at that place of every window)."""
    rows = (x.shape[1] - size[0]) // strides[1] + 1
    columns = (x.shape[2] - size[1]) // strides[2] + 1
    for row in range(size[0]):
        for column in range(size[1]):
            bottom, right = row + rows * strides[1], column + columns * strides[2]
            yield row, column, x[:, row : bottom : strides[1], column : right : strides[2]]


def convolve(x: np.ndarray, kernel: np.ndarray, attributes: dict, depthwise: bool) -> np.ndarray:
    """Kernel (height, width, in, out), or (height, width, channels, multiplier)."""
    size = kernel.shape[:2]
    x, total = padded(x, size, attributes, 0.0), 0.0
    for row, column, pixels in windows(x, size, attributes["strides"]):
        if depthwise:
            product = pixels[..., None] * kernel[row, column]
            total = total + product.reshape(*pixels.shape[:3], -1)
        else:
            total = total + pixels @ kernel[row, column]
    return total


def pool(x: np.ndarray, attributes: dict) -> np.ndarray:
    """Maximum over windows."""
    size = tuple(attributes["ksize"][1:3])
    x = padded(x, size, attributes, -np.inf)
    return np.maximum.reduce([pixels for _, _, pixels in windows(x, size, attributes["strides"])])
