"""ONNX models: the reader, a batch for graphs that were made for one picture, and X2Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.conversion import translate as translate_entry
from convert.errors import ConvertError, VerificationError
from convert.network.graph import GraphError, UnknownOperatorError
from convert.onnx import graph_model, x2paddle_translation
from convert.onnx.comparison import compare_with_onnxruntime, run_paddle
from convert.onnx.x2paddle_translation import ENVIRONMENT
from tests.support.models.tiny_models import tiny_entry

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


CONV = {"kernel_shape": [3, 3], "strides": [2, 2], "dilations": [1, 1], "pads": [0, 0, 0, 0]}


@pytest.fixture
def detector(tmp_path) -> Path:
    """A graph that ends as detectors for one picture do: rows of anchors without a batch."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(7).normal(size=(8, 3, 3, 3)).astype(np.float32)
    bias = np.arange(8, dtype=np.float32)
    constants = {"w": weights, "b": bias, "rows": np.array([-1, 4], np.int64)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w", "b"], ["map"], **CONV),
            helper.make_node("Transpose", ["map"], ["last"], perm=[2, 3, 0, 1]),
            helper.make_node("Reshape", ["last", "rows"], ["boxes"]),
        ],
        "detector",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["anchors", 4])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    path = tmp_path / "detector.onnx"
    onnx.save(model, str(path))
    return path


def run_onnx(path: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": images})[0]


def test_a_detector_for_one_picture_gives_each_of_a_batch_its_own_rows(detector, tmp_path):
    from convert.onnx.x2paddle_job import fix_size, free_batch

    model = onnx.load(str(detector))
    fix_size(model, [17, 17])
    free_batch(model.graph)
    onnx.save(model, str(tmp_path / "free.onnx"))
    images = np.random.default_rng(7).normal(size=(3, 3, 17, 17)).astype(np.float32)
    together = run_onnx(tmp_path / "free.onnx", images)
    assert together.shape == (3, 128, 4)
    alone = [run_onnx(detector, image[None]) for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_resize_to_the_size_of_another_map_becomes_a_factor(tmp_path):
    from onnx import TensorProto, helper, numpy_helper

    from convert.onnx.x2paddle_job import fix_size, free_batch

    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    starts = {"zero": [0], "two": [2], "four": [4]}
    graph = helper.make_graph(
        [
            helper.make_node("MaxPool", ["image"], ["half"], **pool),
            helper.make_node("Shape", ["half"], ["half_shape"]),
            helper.make_node("Slice", ["half_shape", "zero", "two"], ["channels"]),
            helper.make_node("Shape", ["image"], ["image_shape"]),
            helper.make_node("Slice", ["image_shape", "two", "four"], ["sides"]),
            helper.make_node("Concat", ["channels", "sides"], ["size"], axis=0),
            helper.make_node(
                "Resize",
                ["half", "none", "none", "size"],
                ["map"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            ),
        ],
        "pyramid",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in starts.items()]
        + [numpy_helper.from_array(np.zeros(0, np.float32), "none")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    images = np.random.default_rng(7).normal(size=(2, 3, 8, 12)).astype(np.float32)
    onnx.save(model, str(tmp_path / "any.onnx"))
    expected = [run_onnx(tmp_path / "any.onnx", image[None])[0] for image in images]

    fix_size(model, [8, 12])
    free_batch(model.graph)
    assert [node.op_type for node in model.graph.node] == ["MaxPool", "Resize"]
    onnx.save(model, str(tmp_path / "fixed.onnx"))
    np.testing.assert_array_equal(run_onnx(tmp_path / "fixed.onnx", images), expected)


def assert_each_picture_has_its_rows(translation, folder: Path, detector: Path) -> None:
    """What was translated gives for a batch what the file gives for each of its pictures."""
    assert translation.inputs[0].shape == (-1, 3, 17, 17)
    assert translation.outputs[0].shape == (-1, 128, 4)
    images = np.random.default_rng(7).normal(size=(3, 3, 17, 17)).astype(np.float32)
    result = run_paddle(folder, {translation.inputs[0].name: images})
    expected = [run_onnx(detector, image[None]) for image in images]
    np.testing.assert_allclose(result[translation.outputs[0].name], expected, atol=1e-4)


def test_x2paddle_converts_it_and_the_shapes_are_known(detector, tmp_path):
    if not ENVIRONMENT.is_dir():
        pytest.skip("X2Paddle's environment has not been made; converting an ONNX model makes it")
    translation = x2paddle_translation.translate(
        detector, tmp_path / "paddle", inputs=["image"], outputs=["boxes"], input_size=(17, 17)
    )
    assert_each_picture_has_its_rows(translation, tmp_path / "paddle", detector)

    wrong = onnx.load(str(detector))
    wrong.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.ones(8, np.float32), "b"))
    onnx.save(wrong, str(tmp_path / "wrong.onnx"))
    with pytest.raises(VerificationError, match="boxes differs from onnxruntime"):
        compare_with_onnxruntime(tmp_path / "wrong.onnx", tmp_path / "paddle", translation)


def write_onnx(path: Path, nodes, constants, shape, result, opset: int = 11) -> Path:
    """A model with the input `x` and the output `y`."""
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, result)],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=6), str(path))
    return path


def test_the_reader_gives_each_picture_of_a_batch_its_own_rows(detector, tmp_path):
    translation = graph_model.translate(
        detector, tmp_path / "paddle", inputs=["image"], outputs=["boxes"], input_size=(17, 17)
    )
    assert_each_picture_has_its_rows(translation, tmp_path / "paddle", detector)


def test_a_detector_without_a_size_takes_pictures_of_any_size(detector, tmp_path):
    translation = graph_model.translate(
        detector, tmp_path / "paddle", inputs=["image"], outputs=["boxes"], input_size="any"
    )
    assert translation.inputs[0].shape == (-1, 3, -1, -1)
    assert translation.outputs[0].shape == (-1, -1, 4)
    for height, width in ((17, 17), (33, 21)):
        images = np.random.default_rng(7).normal(size=(2, 3, height, width)).astype(np.float32)
        result = run_paddle(tmp_path / "paddle", {translation.inputs[0].name: images})
        expected = [run_onnx(detector, image[None]) for image in images]
        np.testing.assert_allclose(result[translation.outputs[0].name], expected, atol=1e-4)


def test_scales_and_batch_norms_of_a_recogniser_are_folded_and_the_values_stay(tmp_path):
    from onnx import helper

    random = np.random.default_rng(7)

    def values(*shape):
        return random.uniform(0.5, 1.5, shape).astype(np.float32)

    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "w"], ["map"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["map", "a", "b", "m", "v"], ["normal"]),
        helper.make_node("PRelu", ["normal", "slope"], ["active"]),
        helper.make_node("BatchNormalization", ["active", "b", "a", "m", "v"], ["again"]),
        helper.make_node("Dropout", ["again"], ["same"]),
        helper.make_node("Flatten", ["same"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc", "bias"], ["dense"], transB=1),
        helper.make_node("BatchNormalization", ["dense", "d", "d", "d", "d"], ["y"]),
    ]
    constants = {
        **{name: values(4) for name in "abmv"},
        **{"mean": np.float32([127.5]), "scale": np.float32([1 / 128]), "w": values(4, 3, 3, 3)},
        **{"slope": values(4, 1, 1), "fc": values(5, 4 * 36), "bias": values(5), "d": values(5)},
    }
    path = write_onnx(tmp_path / "recogniser.onnx", nodes, constants, [1, 3, 6, 6], [1, 5])
    # Compared with onnxruntime as it is translated.
    graph_model.translate(path, tmp_path / "paddle", inputs=["image"], outputs=["embedding"])
    graph = graph_model.optimize(graph_model.read_graph(path, outputs=["embedding"]))
    kinds = [type(node).__name__ for node in graph]
    assert kinds == ["Affine", "Conv", "PRelu", "Reshape", "MatMul"]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ({"op_type": "Resize", "inputs": ["x", "", "half"], "mode": "nearest"}, "not by a whole"),
        ({"op_type": "MaxPool", "inputs": ["x"], "kernel_shape": [2, 2], "ceil_mode": 1}, "up"),
        ({"op_type": "Transpose", "inputs": ["x"], "perm": [1, 0, 2, 3]}, "moves the batch"),
        ({"op_type": "Add", "inputs": ["x", "plane"]}, "not per channel"),
        ({"op_type": "Conv", "inputs": ["x", "x"]}, "to be a constant"),
    ],
)
def test_a_network_that_cannot_be_translated_is_refused_with_the_node(tmp_path, node, expected):
    from onnx import helper

    made = helper.make_node(node.pop("op_type"), node.pop("inputs"), ["y"], **node)
    constants = {"half": np.float32([1, 1, 0.5, 0.5]), "plane": np.ones((8, 8), np.float32)}
    path = write_onnx(tmp_path / "bad.onnx", [made], constants, [1, 3, 8, 8], None)
    with pytest.raises(GraphError, match=expected) as error:
        graph_model.read_graph(path, outputs=["y"])
    assert not isinstance(error.value, UnknownOperatorError)


def test_an_operator_that_is_not_known_is_left_to_x2paddle(tmp_path, monkeypatch, capsys):
    from onnx import helper

    write_onnx(
        tmp_path / "tanh.onnx", [helper.make_node("Tanh", ["x"], ["y"])], {}, [1, 3, 8, 8], None
    )
    asked = []
    monkeypatch.setattr(x2paddle_translation, "translate", lambda *a, **k: asked.append(a))
    entry = tiny_entry(format="onnx")
    translate_entry(entry, tmp_path, tmp_path / "paddle")
    assert [file.name for file, _ in asked] == ["tanh.onnx"]
    assert "tiny: X2Paddle translates it: operator 'Tanh'" in capsys.readouterr().err
    with pytest.raises(ConvertError, match="cannot be translated: operator 'Tanh' of node 'y'"):
        translate_entry(tiny_entry(format="onnx", input_size="any"), tmp_path, tmp_path / "any")


def test_bytes_that_are_no_onnx_model_are_refused_by_the_reader(tmp_path):
    for content in (b"", b"nonsense" * 100, b"\x08\x06"):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ConvertError, match="tiny cannot be translated: it is no ONNX model"):
            translate_entry(tiny_entry(format="onnx"), tmp_path, tmp_path / "paddle")


def test_a_file_that_is_no_onnx_model_is_refused_by_x2paddle_in_one_line(tmp_path):
    if not ENVIRONMENT.is_dir():
        pytest.skip("X2Paddle's environment has not been made; converting an ONNX model makes it")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense" * 100)
    with pytest.raises(ConvertError, match=r"X2Paddle cannot convert bad\.onnx: .*Error"):
        x2paddle_translation.translate(
            tmp_path / "bad.onnx", tmp_path / "paddle", inputs=["image"], outputs=["boxes"]
        )
