"""What has been read so far of a graph in another format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from convert.network.graph import Affine, Graph, GraphError, Node, Shape, shape_of


class Reader:
    """What has been read so far: the growing graph, the constants, who is called what."""

    def __init__(self, graph: Graph, constants: Mapping[str, np.ndarray]) -> None:
        self.graph = graph
        self.constants = dict(constants)
        self._values: dict[str, str] = {}
        self._shapes: dict[str, Shape] = {}

    def define(self, name: str, value: str) -> None:
        """Let the file's name ``name`` stand for the graph's ``value``."""
        self._values[name] = value

    def alias(self, name: str, source: str) -> None:
        """Let ``name`` stand for what ``source`` stands for, constant or not."""
        if source in self.constants:
            self.constants[name] = self.constants[source]
        else:
            self.define(name, self.value(source))

    def value(self, name: str) -> str:
        """The graph's value for ``name``. Raises GraphError for a constant or unknown name."""
        if name not in self._values:
            raise GraphError(f"{name!r} is read as a tensor but is a constant")
        return self._values[name]

    def constant(self, name: str, reader: str) -> np.ndarray:
        """The constant ``name``. Raises GraphError naming the ``reader`` where it is computed."""
        if name not in self.constants:
            raise GraphError(f"node {reader!r} needs {name!r} to be a constant")
        return self.constants[name]

    def shape(self, name: str) -> Shape:
        """Shape of the value behind the file's name ``name``, images in NCHW."""
        value = self.value(name)
        if value in self.graph.inputs:
            return self.graph.inputs[value]
        return self._shapes[value]

    def append(self, node: Node) -> None:
        """Append a node whose value the file knows by the node's name."""
        self.define(node.name, self.add(node))

    def batch_norm(self, name: str, sources: Sequence[str], epsilon: float) -> None:
        """Append a batch norm as an affine; sources: value, scale, shift, mean, variance."""
        scale, shift, mean, variance = (
            self.constant(source, name).astype(np.float64) for source in sources[1:5]
        )
        scale = scale / np.sqrt(variance + epsilon)
        shift = (shift - mean * scale).astype(np.float32)
        self.append(Affine(name, [self.value(sources[0])], scale.astype(np.float32), shift))

    def add(self, node: Node) -> str:
        """Append a node to the graph and return its value."""
        known = {**self.graph.inputs, **self._shapes}
        self._shapes[node.name] = shape_of(node, [known[source] for source in node.inputs])
        return self.graph.add(node)
