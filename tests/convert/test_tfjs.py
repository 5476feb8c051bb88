"""Reading TensorFlow.js graph models, on tiny ones made here."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from convert.network.graph import GraphError
from convert.network.optimize import optimize
from convert.tfjs import graph_model
from convert.tfjs.weights import read_weights
from tests.support.models.graphs import random, run_paddle
from tests.support.models.tfjs_reference import run_graph


@pytest.mark.parametrize(
    ("entry", "raw", "wanted"),
    [
        ({"dtype": "float32"}, np.array([1.5, -2], "<f4").tobytes(), [1.5, -2]),
        ({"dtype": "int32"}, np.array([7, -3], "<i4").tobytes(), [7, -3]),
        (
            {"dtype": "float32", "quantization": {"dtype": "float16"}},
            np.array([0.5, -3], "<f2").tobytes(),
            [0.5, -3],
        ),
        (
            {"dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -10}},
            bytes([0, 255]),
            [-10, 117.5],
        ),
        (
            {"dtype": "float32", "quantization": {"dtype": "uint16", "scale": 0.5, "min": 0}},
            np.array([1, 65535], "<u2").tobytes(),
            [0.5, 32767.5],
        ),
    ],
)
def test_weights_are_decoded(entry, raw, wanted, tmp_path):
    (tmp_path / "shard").write_bytes(raw)
    manifest = [{"paths": ["shard"], "weights": [{"name": "w", "shape": [2], **entry}]}]
    weight = read_weights(manifest, tmp_path)["w"]
    assert weight.dtype == entry["dtype"]
    np.testing.assert_array_equal(weight, wanted)


@pytest.mark.parametrize("size", [7, 9])
def test_weights_of_another_length_than_the_manifest_says_are_refused(size, tmp_path):
    (tmp_path / "shard").write_bytes(bytes(size))
    weights = [{"name": "w", "shape": [2], "dtype": "float32"}]
    with pytest.raises(GraphError):
        read_weights([{"paths": ["shard"], "weights": weights}], tmp_path)


def test_an_unknown_operator_is_named_with_its_node(tmp_path):
    nodes = [("x", "Placeholder", []), ("odd", "Einsum", ["x"])]
    path = write_tfjs(tmp_path, nodes, {})
    with pytest.raises(GraphError, match="'Einsum' of node 'odd'"):
        graph_model.translate(path, tmp_path / "out")


def test_a_graph_with_every_kind_of_fusion_means_what_tensorflow_means(tmp_path):
    """Uneven SAME padding, fused bias and PReLU, ReLU6 as a pair, NHWC flattening."""
    same = {"strides": [1, 2, 2, 1], "padding": "SAME", "data_format": "NHWC"}
    unit = {**same, "strides": [1, 1, 1, 1]}
    fused = {**same, "fused_ops": ["BiasAdd", "Prelu"], "num_args": 2}
    nodes = [
        ("x", "Placeholder", []),
        ("a", "_FusedConv2D", ["x", "w1", "b1", "slope"], fused),
        ("b", "DepthwiseConv2dNative", ["a", "w2"], unit),
        ("c", "Mul", ["b", "scale"]),
        ("d", "Add", ["shift", "c"]),
        ("e", "Relu", ["d"]),
        ("f", "Minimum", ["e", "six"]),
        ("g", "Maximum", ["f", "zero"]),
        ("h", "MaxPool", ["g"], {**same, "ksize": [1, 3, 3, 1]}),
        ("i", "Pad", ["h", "pads"]),
        ("j", "Reshape", ["i", "shape"]),
        ("k", "_FusedMatMul", ["j", "w3", "b3"], {"fused_ops": ["BiasAdd"]}),
        ("l", "Softmax", ["k"]),
        ("out/l", "Identity", ["l"]),
        ("out/i", "Identity", ["i"]),
    ]
    constants = {
        **{"w1": random(1, 3, 3, 3, 4), "b1": random(2, 4), "slope": random(3, 1, 1, 4)},
        **{"w2": random(4, 3, 3, 4, 1), "scale": random(5, 4), "shift": random(6, 4)},
        **{"six": np.float32(6), "zero": np.float32(0), "shape": np.array([1, 72], np.int32)},
        **{"pads": np.array([[0, 0], [0, 0], [0, 0], [0, 2]], np.int32)},
        **{"w3": random(7, 72, 5), "b3": random(8, 5)},
    }
    path, wanted = write_tfjs(tmp_path, nodes, constants), ["out/l", "out/i"]
    translation = graph_model.translate(path, tmp_path / "out", outputs=wanted)
    assert [v.alias for v in translation.outputs] == ["out_l", "out_i"]
    assert [v.shape for v in translation.outputs] == [(-1, 5), (-1, 4, 3, 6)]
    picture = random(0, 2, 16, 12, 3)
    graph = optimize(graph_model.read_graph(path, outputs=wanted))
    ours = run_paddle(graph, picture.transpose(0, 3, 1, 2), tmp_path / "again")
    for mine, reference in zip(ours, run_graph(path, picture, wanted)):
        np.testing.assert_allclose(mine, reference, atol=1e-5)


def write_tfjs(folder, nodes, constants):
    """A graph model of `nodes` (name, operator, inputs, attributes), input 16x12x3."""
    listed = [{"name": name, "op": "Const", "attr": {}} for name in constants]
    for name, kind, inputs, *attributes in nodes:
        encoded = {key: encode(value) for key, value in (attributes or [{}])[0].items()}
        if kind == "Placeholder":
            sizes = [{"size": str(size)} for size in (-1, 16, 12, 3)]
            encoded = {"shape": {"shape": {"dim": sizes}}}
        elif kind == "Mean":
            encoded = {"keep_dims": {"b": False}}
        listed.append({"name": name, "op": kind, "input": inputs, "attr": encoded})
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    weights = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in arrays.items()
    ]
    (folder / "shard").write_bytes(b"".join(array.tobytes() for array in arrays.values()))
    model = {
        "modelTopology": {"node": listed},
        "weightsManifest": [{"paths": ["shard"], "weights": weights}],
    }
    path = folder / "model.json"
    path.write_text(json.dumps(model))
    return path


def encode(value):
    """An attribute as the file format has it."""
    if isinstance(value, list):
        kind = "s" if isinstance(value[0], str) else "i"
        return {"list": {kind: [next(iter(encode(item).values())) for item in value]}}
    if isinstance(value, str):
        return {"s": base64.b64encode(value.encode()).decode()}
    return {"i": str(value)}
