"""Small graphs for tests of the converter, and ways to run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convert.onnx.onnx_export import to_onnx
from convert.network.graph import Graph, Node, Output
from convert.network.program import write_program


def graph_of(shape: tuple[int, ...], *nodes: Node) -> Graph:
    """A graph with the input `x` of `shape` (without the batch); the last node is its output."""
    graph = Graph(inputs={"x": (-1, *shape)})
    for node in nodes:
        graph.add(node)
    graph.outputs.append(Output("result", nodes[-1].name))
    return graph


def run_program(folder: Path, picture: np.ndarray) -> list[np.ndarray]:
    """All outputs of the Paddle inference model in `folder`, run as the service runs it."""
    from paddle import inference

    config = inference.Config(
        str(folder / "inference.pdmodel"), str(folder / "inference.pdiparams")
    )
    config.disable_glog_info()
    config.disable_gpu()
    config.set_cpu_math_library_num_threads(1)
    config.enable_mkldnn()
    config.enable_memory_optim()
    predictor = inference.create_predictor(config)
    (name,) = predictor.get_input_names()
    predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(picture, np.float32))
    predictor.run()
    return [
        predictor.get_output_handle(output).copy_to_cpu() for output in predictor.get_output_names()
    ]


def run_paddle(graph: Graph, picture: np.ndarray, folder: Path) -> list[np.ndarray]:
    """Write `graph` to `folder` and run it in Paddle."""
    write_program(graph, folder, input_aliases=["image"])
    return run_program(folder, picture)


def run_onnx(graph: Graph, picture: np.ndarray) -> list[np.ndarray]:
    """Run `graph` in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        to_onnx(graph).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: picture})


def random(seed: int, *shape: int) -> np.ndarray:
    """Normally distributed float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
