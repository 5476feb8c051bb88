"""What `convert` adds for other engines, and how it finds out what a model may be run with."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest

from convert import task_checks
from convert.apart import Ended
from convert.engines import agreement, completing, ways_job
from convert.engines.completing import complete, complete_in_place, missing_ways, verify_ways
from convert.engines.openvino_form import write_openvino_form
from convert.errors import ConvertError, VerificationError
from convert.model_directory import locked
from convert.subject import Subject
from inference.engines.base import OPENVINO, PADDLE, Way
from inference.manifest import Manifest
from tests.support.models.tiny_engines import document_of, rewrite, write_tiny_engines
from tests.support.models.tiny_models import write_detector_stub
from vision.face import Detections, Face, Landmarks

FP32, BF16 = Way(OPENVINO, "fp32"), Way(OPENVINO, "bf16")
AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})


@pytest.fixture
def here(monkeypatch):
    """Verifies in this process, without what a real recogniser must be able to do."""

    def run(module: str, arguments: list[str], seconds: float) -> Ended:
        assert module == ways_job.__name__
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            status = ways_job.main(Path(arguments[0]), arguments[1:])
        return Ended(status, output.getvalue(), "")

    monkeypatch.setattr(completing, "run_apart", run)
    monkeypatch.delitem(task_checks.CHECKS, "recognition")


@pytest.fixture
def plain_processor(monkeypatch):
    monkeypatch.setattr(completing, "processor_flags", lambda: frozenset({"avx2"}))


def test_a_model_gets_openvinos_form_and_what_it_is_right_with(tmp_path, here, plain_processor):
    model_dir = write_tiny_engines(tmp_path / "models" / "tiny")
    assert missing_ways(model_dir) == [FP32]
    with locked(tmp_path / "models"):
        assert complete_in_place(model_dir) == ["paddle fp32", "openvino fp32"]
    manifest = Manifest.load(model_dir)
    manifest.check_openvino()
    assert set(manifest.openvino) == {"model.bin", "model.xml"}
    (way,) = manifest.ways
    assert way.difference < 1e-5
    assert way.cosine > 0.9999
    assert missing_ways(model_dir) == []


def test_a_form_that_is_not_as_it_was_made_is_made_again(tmp_path, here, plain_processor):
    model_dir = write_tiny_engines(tmp_path / "tiny")
    complete(model_dir)
    made = Manifest.load(model_dir).openvino_path.with_suffix(".bin")
    sound = made.read_bytes()
    made.write_bytes(b"damaged")
    assert missing_ways(model_dir) == [FP32]
    complete(model_dir)
    assert made.read_bytes() == sound
    assert missing_ways(model_dir) == []


def test_bf16_is_tried_where_it_can_be_imitated_and_looked_at_again_where_it_is_there(
    tmp_path, monkeypatch
):
    model_dir = write_tiny_engines(tmp_path / "tiny")
    monkeypatch.setattr(completing, "processor_flags", lambda: AVX512)
    assert missing_ways(model_dir) == [BF16, FP32]
    refused = {"engine": OPENVINO, "precision": "bf16", "refused": "why", "imitated": True}
    fp32 = {"engine": OPENVINO, "precision": "fp32"}
    rewrite(model_dir, {**document_of(model_dir), "ways": [refused, fp32]})
    assert missing_ways(model_dir) == []
    monkeypatch.setattr(completing, "processor_flags", lambda: AVX512 | {"avx512_bf16"})
    assert missing_ways(model_dir) == [BF16, Way(PADDLE, "bf16")]


def test_a_network_that_onnx_cannot_have_keeps_paddle_and_the_reason(
    tmp_path, here, plain_processor, monkeypatch
):
    model_dir = write_tiny_engines(tmp_path / "tiny")

    def refuse(_: Manifest) -> None:
        raise ConvertError("operator 'sort' is not supported")

    monkeypatch.setattr(ways_job, "write_openvino_form", refuse)
    complete(model_dir)
    manifest = Manifest.load(model_dir)
    assert manifest.ways[0].refused == "operator 'sort' is not supported"
    assert not manifest.openvino_path.parent.exists()
    assert missing_ways(model_dir) == []


def test_operators_without_a_counterpart_are_named(tmp_path):
    model_dir = write_tiny_engines(tmp_path / "tiny")
    write_detector_stub(model_dir / "serving_server")
    with pytest.raises(ConvertError, match=r"operator '\w+' .* is not supported|mean"):
        write_openvino_form(Manifest.load(model_dir))


def test_a_way_that_crashes_is_refused_and_the_others_are_tried(tmp_path, monkeypatch):
    answers = [
        Ended(-11, "", "running it ended with SIGSEGV"),
        Ended(0, '{"engine": "openvino", "precision": "fp32"}\n', ""),
    ]
    asked = []

    def run(module: str, arguments: list[str], seconds: float) -> Ended:
        asked.append([name.rpartition(":imitated")[0] or name for name in arguments[1:]])
        return answers[len(asked) - 1]

    monkeypatch.setattr(completing, "run_apart", run)
    found = verify_ways(tmp_path, [BF16, FP32])
    assert asked == [["openvino:bf16", "openvino:fp32"], ["openvino:fp32"]]
    assert [way.refused for way in found] == ["running it ended with SIGSEGV", ""]


def test_outputs_of_another_network_are_refused(tmp_path):
    one = write_tiny_engines(tmp_path / "one")
    two = write_tiny_engines(tmp_path / "two", [], seed=7)
    with pytest.raises(VerificationError, match="Paddle's"):
        agreement.check_way(Subject(one), Subject(two, FP32), imitated=False)


FACE = Face(np.array([0, 0, 100, 100], np.float32), 1.0)
BOX = np.array([[0, 0, 100, 100]], np.float32)
POINTS = np.zeros((5, 2), np.float32)


@pytest.mark.parametrize(
    ("task", "one", "two", "problem"),
    [
        ("detection", Detections(BOX, np.array([0.9])), Detections(BOX + 1, np.array([0.89])), ""),
        (
            "detection",
            Detections(BOX, np.array([0.9])),
            Detections(BOX + 9, np.array([0.9])),
            "IoU",
        ),
        ("detection", Detections(BOX, np.array([0.9])), Detections(BOX, np.array([0.8])), "score"),
        ("detection", Detections(BOX, np.array([0.9])), Detections(BOX[:0], np.array([])), "face"),
        ("landmark", Landmarks(POINTS, None, 1.0), Landmarks(POINTS + 0.5, None, 1.0), ""),
        ("landmark", Landmarks(POINTS, None, 1.0), Landmarks(POINTS + 2, None, 1.0), "landmark"),
        ("attributes", {"age": 30.0}, {"age": 31.0}, ""),
        ("attributes", {"age": 30.0}, {"age": 33.0}, "age"),
        (
            "attributes",
            {"gender": {"type": "male", "probability": 0.9}},
            {"gender": {"type": "male", "probability": 0.8}},
            "gender",
        ),
        ("liveness", 0.5, 0.52, ""),
        ("liveness", 0.5, 0.6, "score"),
    ],
)
def test_in_less_than_fp32_what_is_made_of_the_outputs_counts(task, one, two, problem):
    said = agreement._COMPARED[task](one, two, FACE)
    assert problem in said
    assert bool(said) == bool(problem)
