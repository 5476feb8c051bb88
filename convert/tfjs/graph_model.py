"""Reads TensorFlow.js graph models: a JSON file with the graph, binary files with the weights.

The images of a TensorFlow.js graph are NHWC, those of the intermediate graph NCHW. The reader
keeps to one rule: a value of rank 4 is turned round, a value of any other rank is as it was.
Where a Reshape or an output looks at the order of the elements, a transposition is put in;
:mod:`convert.network.optimize` removes those that are not needed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convert.network.graph import Graph, GraphError, Output, Transpose
from convert.network.optimize import optimize
from convert.network.program import write_program
from convert.network.reader import Reader
from convert.tfjs.operators import OPERATORS
from convert.tfjs.weights import read_weights
from convert.translation import Translation

_PASSED_ON = ("Identity", "StopGradient", "NoOp")


def translate(
    json_path: Path,
    out_dir: Path,
    *,
    input_alias: str = "image",
    outputs: Sequence[str] | None = None,
) -> Translation:
    """Write a graph model as ``inference.pdmodel`` and ``inference.pdiparams`` into ``out_dir``.

    The model's one input becomes a float32 feed (N, C, H, W) with the alias ``input_alias``.
    Every output, or those named in ``outputs`` in that order, becomes a fetch with the values,
    the order and the rank that it has in TensorFlow.js, its batch dynamic, its alias the name
    of the graph's node with "/" replaced by "_".

    Raises GraphError naming the operator and the node that cannot be translated.
    """
    graph = optimize(read_graph(json_path, outputs=outputs))
    return write_program(graph, out_dir, input_aliases=[input_alias])


def read_graph(json_path: Path, *, outputs: Sequence[str] | None = None) -> Graph:
    """The graph as it stands in the file, not yet optimised; see :func:`translate`."""
    model = json.loads(json_path.read_text(encoding="utf-8"))
    if "node" not in model.get("modelTopology", {}):
        raise GraphError(f"{json_path.name} is no TensorFlow.js graph model")
    weights = read_weights(model["weightsManifest"], json_path.parent)
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    wanted = list(outputs) if outputs is not None else _output_names(model, nodes)
    unknown = [name for name in wanted if name not in nodes]
    if unknown:
        raise GraphError(f"{json_path.name} has no node {unknown[0]!r}")
    reader = Reader(Graph(), weights)
    for name in _in_order(nodes, wanted):
        _read_node(reader, nodes[name])
    for name in wanted:
        _add_output(reader, name)
    return reader.graph


def _output_names(model: Mapping[str, Any], nodes: Mapping[str, Any]) -> list[str]:
    signature = model.get("signature") or model.get("userDefinedMetadata", {}).get("signature", {})
    named = [entry["name"].split(":")[0] for entry in signature.get("outputs", {}).values()]
    if named:
        return sorted(named)
    read = {_source(item) for node in nodes.values() for item in node.get("input", [])}
    return sorted(name for name in nodes if name not in read)


def _source(item: str) -> str:
    """The node behind an input: ``^name`` is a control edge, ``name:0`` the first output."""
    name, _, index = item.lstrip("^").partition(":")
    if index not in ("", "0"):
        raise GraphError(f"{item!r}: operators with several outputs are not supported")
    return name


def _in_order(nodes: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """Names of the nodes that ``wanted`` depend on, each after the nodes that it reads."""
    order: dict[str, None] = {}
    stack = [(name, False) for name in reversed(wanted)]
    while stack:
        name, ready = stack.pop()
        if ready:
            order[name] = None
        elif name not in order:
            if name not in nodes:
                raise GraphError(f"the graph reads {name!r}, which it does not have")
            stack.append((name, True))
            sources = [_source(item) for item in nodes[name].get("input", [])]
            stack.extend((source, False) for source in reversed(sources) if source not in order)
    return list(order)


def _read_node(reader: Reader, node: Mapping[str, Any]) -> None:
    name, kind = node["name"], node["op"]
    sources = [_source(item) for item in node.get("input", []) if not item.startswith("^")]
    attributes = {key: _attribute(value) for key, value in node.get("attr", {}).items()}
    if kind == "Const":
        if name not in reader.constants:
            raise GraphError(f"Const {name!r} is not in the weights manifest")
    elif kind == "Placeholder":
        _, height, width, channels = attributes["shape"]
        reader.graph.inputs[name] = (-1, channels, height, width)
        reader.define(name, name)
    elif kind in _PASSED_ON:
        reader.alias(name, sources[0])
    elif kind in OPERATORS:
        OPERATORS[kind](reader, name, sources, attributes)
    else:
        known = ", ".join(sorted(OPERATORS))
        raise GraphError(f"operator {kind!r} of node {name!r} is not supported; known: {known}")


def _attribute(value: Mapping[str, Any]) -> Any:
    """A node's attribute as a plain Python value."""
    if "list" in value:
        kinds = value["list"]
        return [_scalar(kind, item) for kind in kinds for item in kinds[kind]]
    if "shape" in value:
        return tuple(int(entry["size"]) for entry in value["shape"].get("dim", []))
    kind, content = next(iter(value.items()))
    return _scalar(kind, content)


def _scalar(kind: str, content: Any) -> Any:
    if kind == "i":
        return int(content)
    if kind == "s":
        return base64.b64decode(content).decode("ascii")
    return content


def _add_output(reader: Reader, name: str) -> None:
    value = reader.value(name)
    if len(reader.shape(name)) == 4:
        value = reader.add(Transpose(f"{name}/nhwc", [value], (0, 2, 3, 1)))
    reader.graph.outputs.append(Output(name.replace("/", "_"), value))
