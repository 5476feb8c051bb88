"""A model is run the fastest way that it was verified for and the machine has, or as was asked."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference import predictor
from inference.engines import openvino_engine
from inference.engines.base import OPENVINO, PADDLE, REFERENCE, TENSORRT, EngineError, Way
from inference.engines.choice import candidates, refusal
from inference.engines.paddle_engine import BF16_OPERATORS, configure_gpu, configure_processor
from inference.manifest import Manifest, ManifestError
from inference.predictor import Model
from tests.support.models.manifests import make_manifest
from tests.support.models.tiny_engines import (
    BF16,
    FP32,
    PADDLE_BF16,
    document_of,
    rewrite,
    write_tiny_engines,
)

WITHOUT = frozenset({"avx2", "avx512f"})
WITH_BF16 = WITHOUT | {"avx512_bf16"}
OPENVINO_FP32, OPENVINO_BF16 = Way(OPENVINO, "fp32"), Way(OPENVINO, "bf16")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_tiny_engines(tmp_path_factory.mktemp("made") / "tiny", [FP32, BF16])


@pytest.fixture
def model_dir(made, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(made, tmp_path / "tiny")


@pytest.fixture
def no_wheel(monkeypatch):
    monkeypatch.setattr(openvino_engine, "is_installed", lambda: False)


def chosen(manifest: Manifest, flags: frozenset[str], engine="auto", precision="auto") -> Way:
    wanted = candidates(engine, precision, "cpu")
    return next(way for way in wanted if not refusal(manifest, way, flags))


@pytest.mark.parametrize(
    ("ways", "flags", "expected"),
    [
        ([FP32, BF16, PADDLE_BF16], WITH_BF16, OPENVINO_BF16),
        ([FP32, BF16, PADDLE_BF16], WITHOUT, OPENVINO_FP32),
        ([FP32, PADDLE_BF16], WITH_BF16, Way(PADDLE, "bf16")),
        ([{**BF16, "refused": "a cosine of 0.99"}, FP32], WITH_BF16, OPENVINO_FP32),
        ([], WITH_BF16, REFERENCE),
    ],
)
def test_auto_is_the_fastest_of_those_that_were_verified(model_dir, ways, flags, expected):
    rewrite(model_dir, {**document_of(model_dir), "ways": ways})
    assert chosen(Manifest.load(model_dir), flags) == expected


def test_what_is_asked_for_is_taken_alone(made):
    manifest = Manifest.load(made)
    assert chosen(manifest, WITH_BF16, engine="paddle") == REFERENCE
    assert chosen(manifest, WITH_BF16, precision="fp32") == OPENVINO_FP32


def test_without_openvino_paddle_is_used(made, no_wheel):
    manifest = Manifest.load(made)
    assert chosen(manifest, WITH_BF16) == REFERENCE
    assert "not installed" in refusal(manifest, OPENVINO_FP32, WITHOUT)


@pytest.mark.parametrize(
    ("engine", "precision", "device"),
    [
        ("tensorrt", "auto", "cpu"),
        ("auto", "fp16", "cpu"),
        ("openvino", "auto", "gpu:0"),
        ("auto", "bf16", "gpu:0"),
        ("tensorrt", "bf16", "gpu:0"),
    ],
)
def test_what_the_device_has_not_is_refused_with_what_it_has(engine, precision, device):
    with pytest.raises(EngineError, match=r"there are: .*paddle fp32"):
        candidates(engine, precision, device)


@pytest.mark.parametrize(
    ("engine", "precision", "expected"),
    [
        ("auto", "auto", REFERENCE),
        ("auto", "fp16", Way(PADDLE, "fp16")),
        ("tensorrt", "auto", Way(TENSORRT, "fp32")),
        ("tensorrt", "fp16", Way(TENSORRT, "fp16")),
    ],
)
def test_a_gpu_runs_paddle_unless_more_is_asked_for(engine, precision, expected):
    assert candidates(engine, precision, "gpu:0") == [expected]


def test_both_engines_say_the_same_in_every_batch(made):
    ours, theirs = (Model.load(made, way=way).predictor() for way in (REFERENCE, OPENVINO_FP32))
    generator = np.random.default_rng(5)
    for batch in (3, 1, 2):
        feeds = {"image": generator.random((batch, 3, 8, 8), np.float32)}
        one, two = ours.run(feeds)["embedding"], theirs.run(feeds)["embedding"]
        assert two.shape == (batch, 4)
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_what_a_predictor_gave_stays_when_it_runs_again(made):
    runs = Model.load(made, way=OPENVINO_FP32).predictor().run
    first = runs({"image": np.ones((1, 3, 8, 8), np.float32)})["embedding"]
    before = first.copy()
    runs({"image": np.full((1, 3, 8, 8), 5, np.float32)})
    np.testing.assert_array_equal(first, before)


def test_a_damaged_file_is_told_and_paddle_is_used(model_dir):
    Manifest.load(model_dir).openvino_path.with_suffix(".bin").write_bytes(b"damaged")
    model = Model.choose(model_dir)
    assert model.way.engine == PADDLE
    (note,) = model.notes
    assert "openvino.model.bin: SHA-256" in note
    assert "is used instead of openvino fp32" in note
    with pytest.raises(EngineError, match=r"openvino.model.bin: SHA-256"):
        Model.choose(model_dir, engine="openvino")


def test_a_file_that_is_away_is_told_and_paddle_is_used(model_dir):
    Manifest.load(model_dir).openvino_path.unlink()
    model = Model.choose(model_dir)
    assert model.way == REFERENCE
    assert "model.xml: No such file" in model.notes[0]


def test_paddles_own_damaged_file_is_an_error_whatever_is_asked_for(model_dir):
    document = document_of(model_dir)
    document["files"] = {"inference.pdiparams": "0" * 64}
    document["ways"] = []
    rewrite(model_dir, document)
    with pytest.raises(ManifestError, match=r"files\.inference\.pdiparams"):
        Model.choose(model_dir)


def test_a_wheel_that_is_missing_is_told_and_asked_for_in_vain(made, no_wheel):
    model = Model.choose(made)
    assert model.way == REFERENCE
    assert "OpenVINO is not installed; paddle fp32 is used" in model.notes[0]
    with pytest.raises(EngineError, match="openvino fp32: OpenVINO is not installed"):
        Model.choose(made, engine="openvino", precision="fp32")


def test_a_model_of_an_older_version_is_told_with_the_command_that_completes_it(model_dir):
    document = document_of(model_dir)
    del document["ways"], document["openvino"]
    rewrite(model_dir, document)
    model = Model.choose(model_dir)
    assert model.way == REFERENCE
    assert "python -m convert test_arcface" in model.notes[0]


def test_bf16_on_a_processor_without_it_is_refused(made, monkeypatch):
    monkeypatch.setattr(predictor, "processor_flags", lambda: WITHOUT)
    with pytest.raises(EngineError, match=r"no bf16 \(AVX512-BF16 or AMX\)"):
        Model.choose(made, precision="bf16")
    assert Model.choose(made).notes == ()


class Recorded:
    """Stands in for Paddle's configuration: keeps each call."""

    def __init__(self) -> None:
        self.calls: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> None:
            self.calls[name] = named or arguments

        return call


def test_paddles_bf16_is_for_operators_that_it_can_run():
    config = Recorded()
    configure_processor(config, threads=2, precision="bf16")
    assert config.calls["enable_mkldnn_bfloat16"] == ()
    assert config.calls["set_bfloat16_op"] == (set(BF16_OPERATORS),)
    assert "prelu" not in BF16_OPERATORS
    plain = Recorded()
    configure_processor(plain, threads=2, precision="fp32")
    assert "enable_mkldnn_bfloat16" not in plain.calls


def test_this_paddle_knows_the_calls_for_bf16():
    from paddle import inference

    config = inference.Config()
    assert callable(config.enable_mkldnn_bfloat16)
    assert callable(config.set_bfloat16_op)


GPU = SimpleNamespace(
    PrecisionType=SimpleNamespace(Half="half", Float32="single"),
    get_trt_compile_version=lambda: (8, 5, 3),
)


def test_tensorrt_is_told_the_batches_and_keeps_what_it_builds(tmp_path):
    manifest = make_manifest(tmp_path / "m", "arcface", (3, 8, 8), {"embedding": (-1, 4)})
    config = Recorded()
    configure_gpu(config, GPU, manifest, 1, Way(TENSORRT, "fp16"), batch_size=6)
    assert config.calls["enable_use_gpu"][1] == 1
    engine = config.calls["enable_tensorrt_engine"]
    assert (engine["precision_mode"], engine["max_batch_size"]) == ("half", 6)
    assert engine["use_static"] is True
    name = manifest.inputs[0].name
    shapes = ({name: [1, 3, 8, 8]}, {name: [6, 3, 8, 8]}, {name: [6, 3, 8, 8]})
    assert config.calls["set_trt_dynamic_shape_info"] == shapes
    (folder,) = config.calls["set_optim_cache_dir"]
    assert folder.endswith("tensorrt/fp16-6")


def test_a_gpu_in_fp16_needs_no_tensorrt(tmp_path):
    manifest = make_manifest(tmp_path / "m", "arcface", (3, 8, 8), {"embedding": (-1, 4)})
    config = Recorded()
    configure_gpu(config, GPU, manifest, 0, Way(PADDLE, "fp16"), batch_size=6)
    assert config.calls["enable_use_gpu"] == (100, 0, "half")
    assert "enable_tensorrt_engine" not in config.calls


def test_a_paddle_without_tensorrt_says_so(tmp_path):
    manifest = make_manifest(tmp_path / "m", "arcface", (3, 8, 8), {"embedding": (-1, 4)})
    without = SimpleNamespace(
        PrecisionType=GPU.PrecisionType, get_trt_compile_version=lambda: (0, 0, 0)
    )
    with pytest.raises(EngineError, match="without TensorRT"):
        configure_gpu(Recorded(), without, manifest, 0, Way(TENSORRT, "fp32"), batch_size=1)
