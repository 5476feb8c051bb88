"""The converter's intermediate graph: rewriting and writing, on tiny random networks."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from convert.network import graph as ir
from convert.network.graph import GraphError
from convert.network.optimize import optimize
from convert.network.paddle_program import read_program
from convert.network.program import write_program
from tests.support.models.graphs import graph_of, random, run_onnx, run_paddle

C = 6
SHAPE = (C, 9, 8)


def conv(name, source, out=C, size=3, seed=1, **settings):
    groups = settings.get("groups", 1)
    width = settings.pop("width", C) // groups
    weight, bias = random(seed, out, width, size, size), random(seed + 1, out)
    return ir.Conv(name, [source], weight, bias, **settings)


# A convolution comes first throughout: saving refuses a program without parameters.
STEM = conv("stem", "x", size=1, seed=9)

OPERATORS = {
    "convolution": [conv("n", "stem", out=4)],
    "convolution with uneven padding": [conv("n", "stem", stride=(2, 2), padding=(0, 1, 0, 1))],
    "dilated convolution": [conv("n", "stem", dilation=(2, 2), padding=(2, 2, 2, 2))],
    "depthwise convolution": [conv("n", "stem", groups=C, padding=(1, 1, 1, 1))],
    "depthwise with multiplier": [conv("n", "stem", out=2 * C, groups=C)],
    "affine": [ir.Affine("n", ["stem"], random(3, C), random(4, C))],
    "bias": [ir.Affine("n", ["stem"], np.ones(C, np.float32), random(4, C))],
    "relu": [ir.Clip("n", ["stem"], low=0.0)],
    "relu6": [ir.Clip("n", ["stem"], low=0.0, high=6.0)],
    "clip": [ir.Clip("n", ["stem"], low=-0.5, high=0.5)],
    "clip from above": [ir.Clip("n", ["stem"], high=0.25)],
    "prelu": [ir.PRelu("n", ["stem"], random(5, C))],
    "sigmoid": [ir.Sigmoid("n", ["stem"])],
    "softmax": [ir.Softmax("n", ["stem"], axis=1)],
    "sum": [ir.Add("n", ["stem", "x"])],
    "product": [ir.Multiply("n", ["stem", "x"])],
    "max-pooling": [ir.Pool("n", ["stem"], "max", (3, 3), (2, 2), (0, 1, 0, 1))],
    "average-pooling": [ir.Pool("n", ["stem"], "average", (2, 2), (2, 2), (0, 1, 0, 0))],
    "enlarging": [ir.Enlarge("n", ["stem"], 2)],
    "mean": [ir.Mean("n", ["stem"])],
    "mean that keeps dimensions": [ir.Mean("n", ["stem"], keep_dims=True)],
    "padding of channels": [ir.Pad("n", ["stem"], [(0, 0), (0, 5), (0, 0), (0, 0)])],
    "padding on all sides": [ir.Pad("n", ["stem"], [(0, 0), (2, 1), (1, 2), (0, 1)])],
    "concatenation": [ir.Concat("n", ["stem", "x"], axis=1)],
    "transposition": [ir.Transpose("n", ["stem"], (0, 2, 3, 1))],
    "reshape": [ir.Reshape("n", ["stem"], (-1, 3, 144))],
    "dense layer": [
        ir.Mean("m", ["stem"]),
        ir.MatMul("n", ["m"], random(6, C, 3), random(7, 3)),
    ],
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("batch", [1, 3])
def test_paddle_and_onnxruntime_agree_on(name, batch, tmp_path):
    graph = graph_of(SHAPE, *copy.deepcopy([STEM, *OPERATORS[name]]))
    picture = random(0, batch, *SHAPE)
    (ours,) = run_paddle(graph, picture, tmp_path)
    (theirs,) = run_onnx(graph, picture)
    assert ours.shape == (batch, *graph.shapes()[graph.outputs[0].value][1:])
    np.testing.assert_allclose(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("name", OPERATORS)
def test_a_written_program_reads_back_as_the_same_network(name, tmp_path):
    graph = graph_of(SHAPE, *copy.deepcopy([STEM, *OPERATORS[name]]))
    write_program(graph, tmp_path, input_aliases=["image"])
    picture = random(0, 2, *SHAPE)
    back = optimize(read_program(tmp_path))
    np.testing.assert_allclose(
        run_onnx(back, picture)[0], run_onnx(graph, picture)[0], atol=2e-5, rtol=1e-4
    )


SCALE = np.abs(random(3, C)) + 0.1

# What is there before, and how many nodes are left of it.
REWRITES = {
    "batch norm after a convolution": (
        [STEM, ir.Affine("a", ["stem"], SCALE, random(4, C))],
        1,
    ),
    "scales in a row": (
        [
            STEM,
            ir.Clip("r", ["stem"], low=0.0),
            ir.Affine("a", ["r"], SCALE, random(4, C)),
            ir.Affine("b", ["a"], SCALE, random(5, C)),
        ],
        3,
    ),
    "batch norm before a convolution": (
        [ir.Affine("a", ["x"], SCALE, random(4, C)), conv("n", "a")],
        1,
    ),
    "batch norm before a convolution that pads stays": (
        [ir.Affine("a", ["x"], SCALE, random(4, C)), conv("n", "a", padding=(1, 1, 1, 1))],
        2,
    ),
    "batch norm around a dense layer": (
        [
            STEM,
            ir.Mean("m", ["stem"]),
            ir.Affine("a", ["m"], SCALE, random(4, C)),
            ir.MatMul("d", ["a"], random(6, C, 3), random(7, 3)),
            ir.Affine("b", ["d"], random(8, 3), random(4, 3)),
        ],
        3,
    ),
    "relu, minimum and maximum are a relu6": (
        [
            STEM,
            ir.Clip("r", ["stem"], low=0.0),
            ir.Clip("s", ["r"], high=6.0),
            ir.Clip("t", ["s"], low=0.0),
        ],
        2,
    ),
    "a relu goes before the pooling, into the convolution": (
        [STEM, ir.Pool("p", ["stem"], "max", (2, 2), (2, 2)), ir.Clip("r", ["p"], low=0.0)],
        3,
    ),
    "a batch norm goes through the pooling": (
        [
            STEM,
            ir.Clip("r", ["stem"], low=0.0),
            ir.Affine("a", ["r"], SCALE, random(4, C)),
            ir.Pool("p", ["a"], "max", (2, 2), (2, 2)),
            conv("n", "p"),
        ],
        4,
    ),
    "padding goes into the convolution": (
        [ir.Pad("p", ["x"], [(0, 0), (0, 0), (1, 2), (0, 1)]), conv("n", "p")],
        1,
    ),
    "transpositions cancel": (
        [
            STEM,
            ir.Transpose("t", ["stem"], (0, 2, 3, 1)),
            ir.Transpose("u", ["t"], (0, 3, 1, 2)),
            ir.Sigmoid("n", ["u"]),
        ],
        2,
    ),
    "a flattening in NHWC order turns the rows of the dense layer": (
        [
            STEM,
            ir.Transpose("t", ["stem"], (0, 2, 3, 1)),
            ir.Reshape("r", ["t"], (-1, C * 72)),
            ir.MatMul("d", ["r"], random(6, C * 72, 3), random(7, 3)),
        ],
        3,
    ),
    "a transposition of single pixels is a reshape": (
        [
            STEM,
            ir.Mean("m", ["stem"], keep_dims=True),
            ir.Transpose("t", ["m"], (0, 2, 3, 1)),
            ir.Reshape("n", ["t"], (-1, C)),
        ],
        3,
    ),
    "what no output needs": (
        [conv("unused", "x"), STEM],
        1,
    ),
}


@pytest.mark.parametrize("name", REWRITES)
def test_rewriting_keeps_the_outputs(name, tmp_path):
    nodes, left = REWRITES[name]
    before = graph_of(SHAPE, *copy.deepcopy(nodes))
    after = optimize(copy.deepcopy(before))
    assert len(after.nodes) == left
    picture = random(0, 2, *SHAPE)
    wanted = run_onnx(before, picture)[0]
    np.testing.assert_allclose(run_onnx(after, picture)[0], wanted, atol=2e-5, rtol=1e-4)
    np.testing.assert_allclose(
        run_paddle(after, picture, tmp_path)[0], wanted, atol=2e-5, rtol=1e-4
    )


def test_a_value_that_others_read_is_not_folded():
    nodes = [
        STEM,
        ir.Affine("a", ["stem"], SCALE, random(4, C)),
        ir.Add("n", ["a", "stem"]),
    ]
    before = graph_of(SHAPE, *copy.deepcopy(nodes))
    after = optimize(copy.deepcopy(before))
    picture = random(0, 1, *SHAPE)
    np.testing.assert_allclose(run_onnx(after, picture), run_onnx(before, picture), atol=1e-5)


def test_activations_in_a_row_are_refused_because_paddle_forgets_the_first(tmp_path):
    nodes = [STEM, ir.Clip("relu", ["stem"], low=0.0), ir.Sigmoid("sigmoid", ["relu"])]
    with pytest.raises(GraphError, match="'relu' and 'sigmoid'"):
        write_program(graph_of(SHAPE, *copy.deepcopy(nodes)), tmp_path, input_aliases=["image"])


def test_the_same_graph_gives_the_same_bytes(tmp_path):
    files = []
    for name in ("first", "second"):
        graph = graph_of(SHAPE, *copy.deepcopy([STEM, *OPERATORS["dense layer"]]))
        write_program(graph, tmp_path / name, input_aliases=["image"])
        files.append([file.read_bytes() for file in sorted((tmp_path / name).iterdir())])
    assert files[0] == files[1]
    assert not any(b".py" in content for content in files[0])  # no paths of this machine
