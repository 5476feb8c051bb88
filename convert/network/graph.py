"""An intermediate graph: the operators that the readers produce and the writers understand.

Every value is float32. A value of rank 4 is an image batch in NCHW; the first dimension of
every value is the batch and is written as -1; so are the height and the width of images of any
size, and what follows from them. A node produces one value, known by the node's name. Constants
live in the nodes that use them, as numpy arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

Shape = tuple[int, ...]


class GraphError(ValueError):
    """A graph that cannot be read, is inconsistent or has no counterpart in the target."""


class UnknownOperatorError(GraphError):
    """A graph with an operator that its reader does not know."""


@dataclass
class Node:
    """One operator. name: of the value that it produces; inputs: names of the values it reads."""

    name: str
    inputs: list[str]


@dataclass
class Conv(Node):
    """Convolution; depthwise where ``groups`` equals the number of input channels.

    weight: (out, in / groups, height, width). bias: (out,).
    padding: zeros at (top, bottom, left, right).
    """

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass
class Affine(Node):
    """x * scale + shift along the channel axis (1). scale, shift: (C,)."""

    scale: np.ndarray
    shift: np.ndarray


@dataclass
class Clip(Node):
    """min(max(x, low), high): (0, inf) is a ReLU, (0, 6) a ReLU6."""

    low: float = -math.inf
    high: float = math.inf


@dataclass
class PRelu(Node):
    """x where positive, slope * x elsewhere. slope: (C,)."""

    slope: np.ndarray


@dataclass
class Sigmoid(Node):
    """1 / (1 + exp(-x))."""


@dataclass
class Softmax(Node):
    """Softmax along ``axis``."""

    axis: int = -1


@dataclass
class Add(Node):
    """Sum of two values; a dimension of length 1 counts for every element of the other."""


@dataclass
class Multiply(Node):
    """Product of two values; a dimension of length 1 counts for every element of the other."""


@dataclass
class Pool(Node):
    """Pooling, ``kind`` "max" or "average"; an average leaves the padding out of its count."""

    kind: str
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass
class Enlarge(Node):
    """Repeats each pixel ``factor`` times in height and width."""

    factor: int


@dataclass
class Mean(Node):
    """Mean over height and width: (N, C, H, W) to (N, C), or (N, C, 1, 1) with ``keep_dims``."""

    keep_dims: bool = False


@dataclass
class Pad(Node):
    """Zeros before and after along every dimension: one (before, after) pair each."""

    pads: list[tuple[int, int]]


@dataclass
class Concat(Node):
    """Joins its inputs along ``axis``."""

    axis: int


@dataclass
class Transpose(Node):
    """Reorders the dimensions as ``numpy.transpose`` does."""

    order: tuple[int, ...]


@dataclass
class Reshape(Node):
    """To ``shape``, whose first entry is -1, the batch; at most one other is -1, what is left."""

    shape: Shape


@dataclass
class MatMul(Node):
    """x @ weight + bias. weight: (in, out). bias: (out,)."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True)
class Output:
    """A result of the graph. alias: its name towards the outside; value: the node's name."""

    alias: str
    value: str


@dataclass
class Graph:
    """inputs: name to shape; nodes: by name, each after the nodes that it reads."""

    inputs: dict[str, Shape] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)

    def add(self, node: Node) -> str:
        """Append ``node`` and return its name. Raises GraphError for a name already taken."""
        if node.name in self.nodes or node.name in self.inputs:
            raise GraphError(f"two nodes are called {node.name!r}")
        self.nodes[node.name] = node
        return node.name

    def consumers(self, name: str) -> list[Node]:
        """The nodes that read ``name``, one entry for each time that they read it."""
        return [node for node in self.nodes.values() for source in node.inputs if source == name]

    def is_output(self, name: str) -> bool:
        """True where ``name`` is a result of the graph."""
        return any(output.value == name for output in self.outputs)

    def sole_consumer(self, name: str) -> Node | None:
        """The node that alone reads ``name``; None where there are more, none, or an output."""
        readers = self.consumers(name)
        return readers[0] if len(readers) == 1 and not self.is_output(name) else None

    def replace(self, old: str, new: str) -> None:
        """Let everything that reads ``old`` read ``new`` instead."""
        for node in self.nodes.values():
            node.inputs = [new if source == old else source for source in node.inputs]
        self.outputs = [
            Output(output.alias, new) if output.value == old else output for output in self.outputs
        ]

    def remove(self, name: str) -> None:
        """Drop a node with one input and let its readers read that input."""
        node = self.nodes.pop(name)
        self.replace(name, node.inputs[0])

    def shapes(self) -> dict[str, Shape]:
        """Shape of every value, batch as -1. Raises GraphError naming the inconsistent node."""
        shapes: dict[str, Shape] = dict(self.inputs)
        for node in self.nodes.values():
            missing = [source for source in node.inputs if source not in shapes]
            if missing:
                raise GraphError(f"{node.name!r} reads {missing[0]!r}, which does not come before")
            shapes[node.name] = shape_of(node, [shapes[source] for source in node.inputs])
        return shapes

    def prune(self) -> None:
        """Drop the nodes that no output depends on."""
        wanted = {output.value for output in self.outputs}
        for name, node in reversed(list(self.nodes.items())):
            if name in wanted:
                wanted.update(node.inputs)
        self.nodes = {name: node for name, node in self.nodes.items() if name in wanted}

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self.nodes.values()))


def shape_of(node: Node, inputs: list[Shape]) -> Shape:
    """Shape of a node's value from those of its inputs. Raises GraphError if they do not fit."""
    shape = inputs[0]
    match node:
        case Conv():
            if shape[1] != node.weight.shape[1] * node.groups:
                raise GraphError(f"{node.name!r} expects other channels than {shape[1]}")
            reach = [(k - 1) * d + 1 for k, d in zip(node.weight.shape[2:], node.dilation)]
            return (-1, len(node.weight), *_windows(shape, reach, node.stride, node.padding))
        case Pool():
            return (-1, shape[1], *_windows(shape, list(node.size), node.stride, node.padding))
        case Add() | Multiply():
            pairs = list(zip(inputs[0], inputs[1]))
            fit = all(a == b or 1 in (a, b) for a, b in pairs)
            if len(inputs[0]) != len(inputs[1]) or not fit:
                raise GraphError(f"{node.name!r} joins {inputs[0]} with {inputs[1]}")
            return (-1, *(b if a == 1 else a for a, b in pairs[1:]))
        case Enlarge():
            return (*shape[:2], *(n if n == -1 else n * node.factor for n in shape[2:]))
        case Mean():
            return (-1, shape[1], 1, 1) if node.keep_dims else (-1, shape[1])
        case Pad():
            return (-1, *(n if n == -1 else n + sum(p) for n, p in zip(shape[1:], node.pads[1:])))
        case Concat():
            joined = list(shape)
            lengths = [other[node.axis] for other in inputs]
            joined[node.axis] = -1 if -1 in lengths else sum(lengths)
            return tuple(joined)
        case Transpose():
            return tuple(shape[axis] for axis in node.order)
        case Reshape():
            known = -1 not in (*node.shape[1:], *shape[1:])
            if known and math.prod(node.shape[1:]) != math.prod(shape[1:]):
                raise GraphError(f"{node.name!r} cannot give {shape} the shape {node.shape}")
            return node.shape
        case MatMul():
            if len(node.weight) != shape[-1]:
                raise GraphError(
                    f"{node.name!r} expects {len(node.weight)} values, not {shape[-1]}"
                )
            return (*shape[:-1], node.weight.shape[1])
        case _:
            return shape


def _windows(
    shape: Shape, size: list[int], stride: tuple[int, int], padding: tuple[int, int, int, int]
) -> tuple[int, int]:
    top, bottom, left, right = padding
    height = (shape[2] + top + bottom - size[0]) // stride[0] + 1
    width = (shape[3] + left + right - size[1]) // stride[1] + 1
    return -1 if shape[2] == -1 else height, -1 if shape[3] == -1 else width
