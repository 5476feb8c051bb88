"""ONNX models: a batch dimension for graphs that were exported for one picture, and X2Paddle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert.errors import ConvertError, VerificationError
from convert.onnx import x2paddle_translation
from convert.onnx.x2paddle_translation import ENVIRONMENT, run_paddle

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


def test_x2paddle_converts_it_and_the_shapes_are_known(detector, tmp_path):
    if not ENVIRONMENT.is_dir():
        pytest.skip("X2Paddle's environment has not been made; converting an ONNX model makes it")
    translation = x2paddle_translation.translate(
        detector, tmp_path / "paddle", inputs=["image"], outputs=["boxes"], input_size=(17, 17)
    )
    assert translation.inputs[0].shape == (-1, 3, 17, 17)
    assert translation.outputs[0].shape == (-1, 128, 4)
    images = np.random.default_rng(7).normal(size=(3, 3, 17, 17)).astype(np.float32)
    result = run_paddle(tmp_path / "paddle", {translation.inputs[0].name: images})
    expected = [run_onnx(detector, image[None]) for image in images]
    np.testing.assert_allclose(result[translation.outputs[0].name], expected, atol=1e-4)

    wrong = onnx.load(str(detector))
    wrong.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.ones(8, np.float32), "b"))
    onnx.save(wrong, str(tmp_path / "wrong.onnx"))
    with pytest.raises(VerificationError, match="boxes differs from onnxruntime"):
        x2paddle_translation.compare_with_onnxruntime(
            tmp_path / "wrong.onnx", tmp_path / "paddle", translation
        )


def test_a_file_that_is_no_onnx_model_is_refused_in_one_line(tmp_path):
    if not ENVIRONMENT.is_dir():
        pytest.skip("X2Paddle's environment has not been made; converting an ONNX model makes it")
    (tmp_path / "bad.onnx").write_bytes(b"nonsense" * 100)
    with pytest.raises(ConvertError, match=r"X2Paddle cannot convert bad\.onnx: .*Error"):
        x2paddle_translation.translate(
            tmp_path / "bad.onnx", tmp_path / "paddle", inputs=["image"], outputs=["boxes"]
        )
