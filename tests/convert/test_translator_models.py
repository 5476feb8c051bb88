"""The translated models against what their original graphs mean, and against TensorFlow.js."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from convert.tfjs import face_resnet, graph_model
from tests.conftest import ROOT, SHARED
from tests.support.models.graphs import run_program
from tests.support.models.tfjs_reference import convolve, decode, run_graph

PACKAGES = ROOT / ".cache" / "convert" / "npm"
FIXTURES = SHARED / "fixtures" / "tfjs"

# Height, width, channels and range of the input.
INPUTS = {
    "blazeface": ((256, 256, 3), (-1, 1)),
    "facemesh": ((192, 192, 3), (0, 1)),
    "faceres": ((224, 224, 3), (0, 255)),
    "emotion": ((64, 64, 1), (-1, 1)),
    "antispoof": ((128, 128, 3), (0, 1)),
    "liveness": ((32, 32, 3), (0, 1)),
}
MEAN = np.array([122.782, 117.001, 104.298], np.float32)


def unpacked(package: str, folder: Path) -> Path:
    archive = PACKAGES / package
    if not archive.is_file():
        pytest.skip(f"{archive.relative_to(ROOT)} has not been fetched: python -m convert --all")
    with tarfile.open(archive) as tar:
        members = [m for m in tar.getmembers() if "/model" in m.name and m.isfile()]
        tar.extractall(folder, members)
    return folder / "package"


@pytest.fixture(scope="module")
def human(tmp_path_factory) -> Path:
    return unpacked("vladmandic-human-3.3.6.tgz", tmp_path_factory.mktemp("human")) / "models"


@pytest.fixture(scope="module")
def face_api(tmp_path_factory) -> Path:
    return unpacked("vladmandic-face-api-1.7.15.tgz", tmp_path_factory.mktemp("face-api"))


def fixture(name: str) -> dict[str, np.ndarray]:
    path = FIXTURES / f"{name}.npz"
    if not path.is_file():
        pytest.skip("the outputs of the TensorFlow.js runtime are not on this machine")
    return {key.replace("__", "_"): value for key, value in np.load(path).items()}


def fixed_input(shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """The input that the fixtures were made with."""
    picture = np.random.RandomState(7).uniform(low, high, (1, *shape))
    return picture.astype(np.float32)


def nchw(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("name", INPUTS)
def test_a_translated_model_gives_the_outputs_of_tensorflow_js(name, human, tmp_path):
    wanted, (shape, limits) = fixture(name), INPUTS[name]
    translation = graph_model.translate(human / f"{name}.json", tmp_path)
    assert {output.alias for output in translation.outputs} == set(wanted)
    results = run_program(tmp_path, nchw(fixed_input(shape, *limits)))
    for output, result in zip(translation.outputs, results):
        np.testing.assert_allclose(result, wanted[output.alias], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", INPUTS)
def test_a_translated_model_computes_what_its_graph_means(name, human, tmp_path):
    """Against the reference in NumPy, which shares nothing with the translator."""
    path, (shape, limits) = human / f"{name}.json", INPUTS[name]
    picture = np.random.default_rng(1).uniform(*limits, (2, *shape)).astype(np.float32)
    signature = json.loads(path.read_text())
    signature = signature.get("signature") or signature["userDefinedMetadata"]["signature"]
    wanted = sorted(item["name"].split(":")[0] for item in signature["outputs"].values())
    translation = graph_model.translate(path, tmp_path, outputs=wanted)
    assert [item.alias for item in translation.outputs] == [w.replace("/", "_") for w in wanted]
    results = run_program(tmp_path, nchw(picture))
    for result, reference in zip(results, run_graph(path, picture, wanted)):
        scale = max(1.0, np.abs(reference).max())
        np.testing.assert_allclose(result, reference, atol=1e-5 * scale)


def test_an_output_that_is_not_asked_for_is_not_computed(human, tmp_path):
    graph = graph_model.read_graph(human / "facemesh.json")
    some = graph_model.read_graph(human / "facemesh.json", outputs=["Identity_2"])
    assert len(some.nodes) < len(graph.nodes)
    translation = graph_model.translate(human / "facemesh.json", tmp_path, outputs=["Identity_2"])
    assert [(v.alias, v.shape) for v in translation.outputs] == [("Identity_2", (-1, 1404))]


def test_the_face_resnet_gives_the_descriptor_of_face_api(face_api, tmp_path):
    wanted = fixture("face_recognition")["descriptor"]
    face_resnet.translate(face_api, tmp_path)
    # face-api divides by 255, dlib by 256; the network is the same.
    picture = (fixed_input((150, 150, 3), 0, 255) - MEAN) / np.float32(255)
    (embedding,) = run_program(tmp_path, nchw(picture))
    np.testing.assert_allclose(embedding, wanted, atol=1e-5)


def test_the_face_resnet_computes_what_dlib_describes(face_api, tmp_path):
    translation = face_resnet.translate(face_api, tmp_path)
    assert [(v.alias, v.shape) for v in translation.inputs] == [("image", (-1, 3, 150, 150))]
    assert [(v.alias, v.shape) for v in translation.outputs] == [("embedding", (-1, 128))]
    folder = face_api / "model"
    manifest = json.loads((folder / "face_recognition_model-weights_manifest.json").read_text())
    picture = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 150, 150, 3)).astype(np.float32)
    (embedding,) = run_program(tmp_path, nchw(picture))
    reference = dlib_network(decode(manifest, folder), picture)
    np.testing.assert_allclose(embedding, reference, atol=1e-5)


def dlib_network(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    def conv(name, x, step=1, padding="SAME"):
        attributes = {"strides": [1, step, step, 1], "padding": padding}
        x = convolve(x, weights[f"{name}/conv/filters"], attributes, depthwise=False)
        x = x + weights[f"{name}/conv/bias"]
        return x * weights[f"{name}/scale/weights"] + weights[f"{name}/scale/biases"]

    def to_size(x, shape):
        return np.pad(x, [(0, wanted - length) for length, wanted in zip(x.shape, shape)])

    def block(name, x):
        down = "_down" in name
        branch = conv(f"{name}/conv1", x, 2 if down else 1, "VALID" if down else "SAME")
        branch = conv(f"{name}/conv2", np.maximum(branch, 0))
        if down:
            even = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
            n, height, width, channels = even.shape
            x = even.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
        shape = np.maximum(x.shape, branch.shape)
        return np.maximum(to_size(branch, shape) + to_size(x, shape), 0)

    x = np.maximum(conv("conv32_down", x, 2, "VALID"), 0)
    rows = [x[:, i : i + 2 * ((x.shape[1] - 3) // 2) + 1 : 2] for i in range(3)]
    x = np.maximum.reduce(rows)
    columns = [x[:, :, i : i + 2 * ((x.shape[2] - 3) // 2) + 1 : 2] for i in range(3)]
    x = np.maximum.reduce(columns)
    for name in (
        *("conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3"),
        *("conv128_down", "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2"),
        "conv256_down_out",
    ):
        x = block(name, x)
    return x.mean(axis=(1, 2)) @ weights["fc"]
