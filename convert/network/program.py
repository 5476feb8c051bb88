"""Writes a graph as a Paddle inference model: a static program and its parameters."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import paddle

from convert.network.graph import Graph
from convert.network.program_operators import Writer
from convert.paddle_internals import remove_attribute
from convert.translation import Translation, Variable


def write_program(graph: Graph, out_dir: Path, *, input_aliases: Sequence[str]) -> Translation:
    """Write ``inference.pdmodel`` and ``inference.pdiparams`` into ``out_dir``.

    ``input_aliases`` are the aliases of the graph's inputs, in order. The same graph gives the
    same bytes. Raises GraphError for a node that Paddle has no operator for.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    shapes = graph.shapes()
    with static_mode():
        program, scope = paddle.static.Program(), paddle.static.global_scope()
        with paddle.static.program_guard(program, paddle.static.Program()):
            feeds = [
                paddle.static.data(_variable_name(name), shape, "float32")
                for name, shape in graph.inputs.items()
            ]
            writer = Writer(program.global_block(), scope, shapes)
            for name, feed in zip(graph.inputs, feeds):
                writer.variables[name] = feed
            for node in graph:
                writer.write(node, _variable_name(node.name))
            fetches = [writer.variables[output.value] for output in graph.outputs]
            paddle.static.save_inference_model(
                str(out_dir / "inference"),
                feeds,
                fetches,
                paddle.static.Executor(paddle.CPUPlace()),
                program=program,
            )
        names = _fetch_names(out_dir)
    return Translation(
        inputs=[
            Variable(feed.name, alias, "float32", shape)
            for feed, alias, shape in zip(feeds, input_aliases, graph.inputs.values())
        ],
        outputs=[
            Variable(name, output.alias, "float32", shapes[output.value])
            for name, output in zip(names, graph.outputs)
        ],
    )


def _fetch_names(folder: Path) -> list[str]:
    """Names of the fetches as written: saving puts an operator of its own before each.

    Saving also leaves Python's call stack in the feeds and fetches, with the paths of this
    machine; it goes, for the bytes to depend on the graph only.
    """
    file = folder / "inference.pdmodel"
    program = paddle.static.deserialize_program(file.read_bytes())
    operators = program.global_block().ops
    for operator in operators:
        if "op_callstack" in operator.attr_names:
            remove_attribute(operator, "op_callstack")
    file.write_bytes(program.desc.serialize_to_string())
    fetches = [operator for operator in operators if operator.type == "fetch"]
    return [fetch.input("X")[0] for fetch in sorted(fetches, key=lambda op: op.attr("col"))]


@contextlib.contextmanager
def static_mode() -> Iterator[None]:
    """Paddle's static mode with a scope and name counters of its own; what was, comes back."""
    dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        with paddle.static.scope_guard(paddle.static.Scope()), paddle.utils.unique_name.guard():
            yield
    finally:
        if dynamic:
            paddle.disable_static()


def _variable_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", name)
