"""Rewrites a graph into one that computes the same with fewer and larger operators.

Every pass keeps the outputs, up to rounding. The passes run in turns until none of them finds
anything to do, so that they need not know of one another.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convert.network.graph import (
    Affine,
    Clip,
    Conv,
    Graph,
    MatMul,
    Node,
    Pad,
    Pool,
    Reshape,
    Transpose,
)

Pass = Callable[[Graph], bool]


def optimize(graph: Graph) -> Graph:
    """Run all passes on ``graph`` in place and return it. Raises GraphError if it is broken."""
    graph.prune()
    while sum(run(graph) for run in PASSES):
        graph.prune()
        graph.shapes()
    return graph


def fold_affines_back(graph: Graph) -> bool:
    """Batch norms, scales and biases go into the convolution or product before them."""
    changed = False
    for node in graph:
        source = _sole_source(graph, node) if isinstance(node, Affine) else None
        if not isinstance(node, Affine) or not isinstance(source, (Conv, MatMul, Affine)):
            continue
        if isinstance(source, Conv):
            source.weight = _scaled(source.weight, node.scale[:, None, None, None])
        elif isinstance(source, MatMul):
            source.weight = _scaled(source.weight, node.scale)
        if isinstance(source, Affine):
            source.scale = _scaled(source.scale, node.scale)
            source.shift = _shifted(source.shift, node)
        else:
            source.bias = _shifted(source.bias, node)
        graph.remove(node.name)
        changed = True
    return changed


def fold_affines_forward(graph: Graph) -> bool:
    """Scales and shifts go into the convolution or product after them.

    Not into a convolution that pads: its zeros would have to become another value.
    """
    changed = False
    for node in graph:
        target = graph.sole_consumer(node.name) if isinstance(node, Affine) else None
        if not isinstance(node, Affine) or not isinstance(target, (Conv, MatMul)):
            continue
        scale, shift = node.scale.astype(np.float64), node.shift.astype(np.float64)
        if isinstance(target, MatMul):
            target.bias = (target.bias + shift @ target.weight).astype(np.float32)
            target.weight = _scaled(target.weight, scale[:, None])
        elif (any(target.padding) and node.shift.any()) or target.groups > 1:
            continue
        else:
            added = np.einsum("oihw,i->o", target.weight.astype(np.float64), shift)
            target.bias = (target.bias + added).astype(np.float32)
            target.weight = _scaled(target.weight, scale[None, :, None, None])
        graph.remove(node.name)
        changed = True
    return changed


def merge_clips(graph: Graph) -> bool:
    """ReLU, Minimum and Maximum in a row become one operator: for example a ReLU6."""
    changed = False
    for node in graph:
        source = _sole_source(graph, node) if isinstance(node, Clip) else None
        if isinstance(node, Clip) and isinstance(source, Clip):
            source.low = min(max(source.low, node.low), node.high)
            source.high = max(min(source.high, node.high), node.low)
            graph.remove(node.name)
            changed = True
    return changed


def hoist_clips(graph: Graph) -> bool:
    """A ReLU after a max-pooling moves before it, where it is free: part of a convolution."""
    changed = False
    for node in graph:
        pool = _sole_source(graph, node) if isinstance(node, Clip) else None
        if isinstance(pool, Pool) and pool.kind == "max":
            _swap(graph, pool, node)
            changed = True
    return changed


def sink_affines_past_flattening(graph: Graph) -> bool:
    """An affine before a flattening moves after it, next to the product that can take it in."""
    changed = False
    for node in graph:
        affine = _sole_source(graph, node) if isinstance(node, Reshape) else None
        if not isinstance(node, Reshape) or len(node.shape) != 2 or not isinstance(affine, Affine):
            continue
        shape = graph.shapes()[affine.name]
        if len(shape) == 4 and -1 not in shape[1:]:
            pixels = shape[2] * shape[3]
            affine.scale = np.repeat(affine.scale, pixels)
            affine.shift = np.repeat(affine.shift, pixels)
            _swap(graph, affine, node)
            changed = True
    return changed


def sink_affines(graph: Graph) -> bool:
    """A growing affine before a max-pooling moves after it: less to compute, nearer to a fold."""
    changed = False
    for node in graph:
        affine = _sole_source(graph, node) if isinstance(node, Pool) else None
        if not isinstance(node, Pool) or not isinstance(affine, Affine):
            continue
        if node.kind == "max" and (affine.scale > 0).all():
            _swap(graph, affine, node)
            changed = True
    return changed


def fold_pads(graph: Graph) -> bool:
    """Zeros around an image become the padding of the convolutions that read it."""
    changed = False
    for node in graph:
        if not isinstance(node, Pad) or len(node.pads) != 4 or node.pads[1] != (0, 0):
            continue
        readers = graph.consumers(node.name)
        convolutions = [reader for reader in readers if isinstance(reader, Conv)]
        if graph.is_output(node.name) or len(convolutions) < len(readers):
            continue
        (top, bottom), (left, right) = node.pads[2:]
        for conv in convolutions:
            before = conv.padding
            conv.padding = (
                before[0] + top,
                before[1] + bottom,
                before[2] + left,
                before[3] + right,
            )
        graph.remove(node.name)
        changed = True
    return changed


def drop_transposes(graph: Graph) -> bool:
    """Transpositions that move no element become reshapes; those that cancel disappear."""
    changed = False
    for node in graph:
        if not isinstance(node, Transpose):
            continue
        shapes = graph.shapes()
        before, after = shapes[node.inputs[0]], shapes[node.name]
        moved = [axis for axis in node.order if before[axis] != 1]
        source = graph.nodes.get(node.inputs[0])
        if isinstance(source, Transpose):
            node.order = tuple(source.order[axis] for axis in node.order)
            node.inputs = list(source.inputs)
            changed = True
        elif list(node.order) == sorted(node.order):
            graph.remove(node.name)
            changed = True
        elif moved == sorted(moved):
            graph.nodes[node.name] = Reshape(node.name, node.inputs, after)
            changed = True
    return changed


def merge_reshapes(graph: Graph) -> bool:
    """Of reshapes in a row the last is enough; one that changes nothing disappears."""
    changed = False
    for node in graph:
        if not isinstance(node, Reshape):
            continue
        source = graph.nodes.get(node.inputs[0])
        if isinstance(source, Reshape):
            node.inputs = list(source.inputs)
            changed = True
        elif graph.shapes()[node.inputs[0]] == node.shape:
            graph.remove(node.name)
            changed = True
    return changed


def fold_flattening(graph: Graph) -> bool:
    """An NHWC flattening before a product becomes an NCHW one, the product's rows in its order."""
    changed = False
    for node in graph:
        product = graph.sole_consumer(node.name)
        source = _sole_source(graph, node) if isinstance(node, Reshape) else None
        if not (isinstance(node, Reshape) and len(node.shape) == 2):
            continue
        if not isinstance(product, MatMul) or not isinstance(source, Transpose):
            continue
        shape = graph.shapes()[source.inputs[0]]
        rows = np.arange(len(product.weight)).reshape([shape[axis] for axis in source.order[1:]])
        back = np.argsort(source.order)[1:] - 1
        product.weight = np.ascontiguousarray(product.weight[rows.transpose(back).reshape(-1)])
        graph.remove(source.name)
        changed = True
    return changed


PASSES: tuple[Pass, ...] = (
    fold_affines_back,
    fold_affines_forward,
    merge_clips,
    hoist_clips,
    sink_affines,
    sink_affines_past_flattening,
    fold_pads,
    drop_transposes,
    merge_reshapes,
    fold_flattening,
)


def _sole_source(graph: Graph, node: Node) -> Node | None:
    """The node behind the first input of ``node`` where nobody else reads it."""
    source = graph.nodes.get(node.inputs[0])
    return source if source and graph.sole_consumer(source.name) is node else None


def _swap(graph: Graph, first: Node, second: Node) -> None:
    """Exchange two neighbours with one input each; readers of the second read the first."""
    source = first.inputs[0]
    graph.replace(second.name, first.name)
    second.inputs, first.inputs = [source], [second.name]
    order = {}
    for name, node in graph.nodes.items():
        if node is first:
            order[second.name] = second
        if node is not second:
            order[name] = node
    graph.nodes = order


def _scaled(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((values.astype(np.float64) * scale).astype(np.float32))


def _shifted(values: np.ndarray, affine: Affine) -> np.ndarray:
    return (values.astype(np.float64) * affine.scale + affine.shift).astype(np.float32)
