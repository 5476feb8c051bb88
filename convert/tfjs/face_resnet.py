"""Builds dlib's face recognition ResNet from the weights of the face-api package.

The package holds weights only; the network is that of dlib's ``dnn_face_recognition_resnet_v1``:
29 convolutions, each followed by a scale and a shift of every channel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert.network.graph import (
    Add,
    Affine,
    Clip,
    Conv,
    Graph,
    GraphError,
    MatMul,
    Mean,
    Output,
    Pad,
    Pool,
)
from convert.network.optimize import optimize
from convert.network.program import write_program
from convert.tfjs.weights import read_weights
from convert.translation import Translation

SIDE = 150
"""Height and width of the input in pixels."""

_MANIFEST = "face_recognition_model-weights_manifest.json"
_BLOCKS = (
    *("conv32_1", "conv32_2", "conv32_3"),
    *("conv64_down", "conv64_1", "conv64_2", "conv64_3"),
    *("conv128_down", "conv128_1", "conv128_2"),
    *("conv256_down", "conv256_1", "conv256_2", "conv256_down_out"),
)


def translate(package_dir: Path, out_dir: Path) -> Translation:
    """Write the network as ``inference.pdmodel`` and ``inference.pdiparams`` into ``out_dir``.

    ``package_dir`` is the unpacked package, or its ``model`` folder. The feed ``image`` is
    (N, 3, 150, 150) float32, aligned RGB of 0 to 255 minus (122.782, 117.001, 104.298), divided
    by 256 as in dlib's training (the package's own code divides by 255); the fetch ``embedding``
    is (N, 128) float32, not of unit length. Raises GraphError where
    the weights are not those of the network, FileNotFoundError where there are none.
    """
    graph = optimize(read_graph(package_dir))
    return write_program(graph, out_dir, input_aliases=["image"])


def read_graph(package_dir: Path) -> Graph:
    """The network as dlib describes it, not yet optimised; see :func:`translate`."""
    folder = package_dir / "model"
    folder = folder if folder.is_dir() else package_dir
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    network = _Network(read_weights(manifest, folder))
    return network.build()


class _Network:
    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = weights
        self._graph = Graph(inputs={"image": (-1, 3, SIDE, SIDE)})

    def build(self) -> Graph:
        value = self._convolution("conv32_down", "image", stride=2, padding=0, relu=True)
        value = self._graph.add(Pool("pool", [value], "max", (3, 3), (2, 2)))
        for block in _BLOCKS:
            value = self._down(block, value) if "_down" in block else self._residual(block, value)
        value = self._graph.add(Mean("mean", [value]))
        weight = self._weight("fc")
        bias = np.zeros(weight.shape[1], np.float32)
        value = self._graph.add(MatMul("embedding", [value], weight, bias))
        self._graph.outputs.append(Output("embedding", value))
        return self._graph

    def _weight(self, name: str) -> np.ndarray:
        if name not in self._weights:
            raise GraphError(f"the face recognition weights lack {name!r}")
        return self._weights[name]

    def _convolution(
        self, name: str, value: str, *, stride: int = 1, padding: int = 1, relu: bool = False
    ) -> str:
        node = Conv(
            f"{name}/conv",
            [value],
            np.ascontiguousarray(self._weight(f"{name}/conv/filters").transpose(3, 2, 0, 1)),
            self._weight(f"{name}/conv/bias"),
            stride=(stride, stride),
            padding=(padding, padding, padding, padding),
        )
        scale, shift = self._weight(f"{name}/scale/weights"), self._weight(f"{name}/scale/biases")
        value = self._graph.add(Affine(f"{name}/scale", [self._graph.add(node)], scale, shift))
        return self._graph.add(Clip(f"{name}/relu", [value], low=0.0)) if relu else value

    def _residual(self, name: str, value: str) -> str:
        branch = self._convolution(f"{name}/conv1", value, relu=True)
        branch = self._convolution(f"{name}/conv2", branch)
        return self._joined(name, branch, value)

    def _down(self, name: str, value: str) -> str:
        """Half the size; the side that is smaller gets zeros at the bottom and the right."""
        branch = self._convolution(f"{name}/conv1", value, stride=2, padding=0, relu=True)
        branch = self._convolution(f"{name}/conv2", branch)
        value = self._graph.add(Pool(f"{name}/pool", [value], "average", (2, 2), (2, 2)))
        shapes = self._graph.shapes()
        wanted = np.maximum(shapes[branch], shapes[value])
        return self._joined(name, self._padded(branch, wanted), self._padded(value, wanted))

    def _padded(self, value: str, wanted: np.ndarray) -> str:
        missing = wanted - np.array(self._graph.shapes()[value])
        if not missing.any():
            return value
        pads = [(0, int(count)) for count in missing]
        return self._graph.add(Pad(f"{value}/padded", [value], pads))

    def _joined(self, name: str, branch: str, value: str) -> str:
        total = self._graph.add(Add(f"{name}/add", [branch, value]))
        return self._graph.add(Clip(f"{name}/relu", [total], low=0.0))
