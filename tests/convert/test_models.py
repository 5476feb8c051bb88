"""Converted models: Paddle exports, serving format, checks, what stands in models/ and when."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from convert.catalog import load_catalog
from convert.errors import BusyError, ConvertError, VerificationError
from convert.model_directory import is_intact, locked
from convert.onnx.comparison import run_paddle
from convert.paddle import published_model
from convert.serving import MODEL_FILE
from convert.verify import verify, verify_apart
from inference.manifest import Manifest
from paddle_fence.messages import model_config_messages
from tests.support.models.tiny_models import (
    operator_count,
    tiny_entry,
    write_detector_stub,
    write_tiny_model,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_fixed_batch_becomes_dynamic_and_the_values_stay(tmp_path):
    write_tiny_model(tmp_path / "fixed", batch=1)
    translation = published_model.translate(
        tmp_path / "fixed", tmp_path / "free", inputs=["image"], outputs=["embedding"]
    )
    assert translation.inputs[0].shape == (-1, 3, 8, 8)
    assert translation.outputs[0].shape == (-1, 4)
    images = np.random.default_rng(7).normal(size=(3, 3, 8, 8)).astype(np.float32)
    name = translation.outputs[0].name
    together = run_paddle(tmp_path / "free", {"x": images})[name]
    alone = [run_paddle(tmp_path / "fixed", {"x": image[None]})[name][0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_bias_is_added_along_the_channels_and_the_values_stay(tiny_export, tmp_path):
    translation = published_model.translate(
        tiny_export, tmp_path / "out", inputs=["image"], outputs=["embedding"]
    )
    images = np.random.default_rng(7).normal(size=(2, 3, 8, 8)).astype(np.float32)
    name = translation.outputs[0].name
    np.testing.assert_allclose(
        run_paddle(tmp_path / "out", {"x": images})[name],
        run_paddle(tiny_export, {"x": images})[name],
        atol=1e-6,
    )
    assert operator_count(tiny_export / MODEL_FILE, "reshape2") == 2
    assert operator_count(tmp_path / "out" / MODEL_FILE, "reshape2") == 1


def test_roles_go_by_name_where_the_export_has_the_names_and_open_sizes_are_declared(tmp_path):
    write_detector_stub(tmp_path / "export")
    translation = published_model.translate(
        tmp_path / "export",
        tmp_path / "out",
        inputs=["image", "im_shape", "scale_factor"],
        outputs=["boxes", "counts"],
        input_size=(640, 640),
        fixed_batch=True,
    )
    assert [(v.name, v.alias, v.shape) for v in translation.inputs] == [
        ("im_shape", "im_shape", (-1, 2)),
        ("image", "image", (-1, 3, 640, 640)),
        ("scale_factor", "scale_factor", (-1, 2)),
    ]
    assert [(v.alias, v.dtype) for v in translation.outputs] == [
        ("boxes", "float32"),
        ("counts", "int32"),
    ]


def test_an_export_with_other_variables_than_expected_is_refused(tiny_export, tmp_path):
    with pytest.raises(ConvertError, match="expected image, im_shape"):
        published_model.translate(
            tiny_export, tmp_path / "out", inputs=["image", "im_shape"], outputs=["boxes"]
        )


def test_a_file_that_is_no_paddle_program_is_refused(tmp_path):
    for name in ("inference.pdmodel", "inference.pdiparams"):
        (tmp_path / name).write_bytes(b"nonsense" * 100)
    with pytest.raises(ConvertError, match="no model that Paddle"):
        published_model.translate(tmp_path, tmp_path / "out", inputs=["image"], outputs=["out"])


def test_paddle_serving_loads_and_runs_what_was_written(make_tiny):
    from paddle_fence.stock_service import LocalPredictor

    model_dir = make_tiny()
    predictor = LocalPredictor()
    predictor.load_model_config(str(model_dir / "serving_server"))
    images = np.random.default_rng(7).normal(size=(3, 3, 8, 8)).astype(np.float32)
    result = predictor.predict(feed={"x": images}, fetch=["embedding"], batch=True)
    assert result["embedding"].shape == (3, 4)
    assert np.isfinite(result["embedding"]).all()


def test_text_and_stream_configuration_say_the_same(make_tiny):
    from google.protobuf import text_format

    messages = model_config_messages()
    model_dir = make_tiny()
    for side in ("server", "client"):
        stem = model_dir / f"serving_{side}" / f"serving_{side}_conf"
        text = stem.with_suffix(".prototxt").read_text()
        from_text = text_format.Parse(text, messages.GeneralModelConfig())
        from_stream = messages.GeneralModelConfig.FromString(
            stem.with_suffix(".stream.prototxt").read_bytes()
        )
        assert from_text == from_stream
        assert list(from_text.feed_var[0].shape) == [3, 8, 8]
        assert from_text.feed_var[0].feed_type == 1  # float32
        assert from_text.fetch_var[0].alias_name == "embedding"


def test_the_manifest_is_the_one_that_the_service_reads(make_tiny):
    manifest = Manifest.load(make_tiny())
    manifest.check_files()
    assert (manifest.name, manifest.task, manifest.embedding_dim) == ("tiny", "recognition", 4)
    assert manifest.input("image").name == "x"
    assert manifest.source == "local " + manifest.source.split()[-1]


def test_a_refused_model_leaves_the_old_one_in_place(make_tiny, tmp_path):
    model_dir = make_tiny()
    before = (model_dir / "model.yml").read_bytes()
    write_tiny_model(tmp_path / "other", bias=1.0)

    def refuse(new_dir: Path) -> None:
        raise VerificationError("no")

    with pytest.raises(VerificationError):
        make_tiny(source=tmp_path / "other", check=refuse)
    assert (model_dir / "model.yml").read_bytes() == before
    assert is_intact(model_dir, tiny_entry())


def test_an_interrupted_conversion_leaves_the_old_model_and_no_remains(make_tiny):
    model_dir = make_tiny()

    def interrupt(new_dir: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_tiny(check=interrupt)
    assert is_intact(model_dir, tiny_entry())
    assert [p.name for p in model_dir.parent.iterdir() if p.is_dir()] == ["tiny"]


def test_remains_of_a_killed_conversion_are_cleared_and_the_old_model_comes_back(make_tiny):
    model_dir = make_tiny()
    models_dir = model_dir.parent
    model_dir.rename(models_dir / ".previous-tiny")  # killed between the two renames
    (models_dir / ".converting-tiny-abc").mkdir()
    with locked(models_dir):
        assert is_intact(model_dir, tiny_entry())
    assert [p.name for p in models_dir.iterdir() if p.is_dir()] == ["tiny"]


def test_two_conversions_at_once_are_refused(tmp_path):
    refusal = pytest.raises(BusyError, match="another conversion")
    with locked(tmp_path), refusal, locked(tmp_path):
        pass


@pytest.mark.parametrize("part", ["serving_server/inference.pdiparams", "model.yml"])
def test_a_damaged_model_is_not_taken_for_intact(make_tiny, part):
    model_dir = make_tiny()
    assert is_intact(model_dir, tiny_entry())
    path = model_dir / part
    path.write_bytes(path.read_bytes()[:-10])
    assert not is_intact(model_dir, tiny_entry())


def test_a_change_of_the_catalog_makes_a_model_out_of_date(make_tiny):
    assert not is_intact(make_tiny(), tiny_entry(options={"scale": 2.0}))


def test_a_local_tar_serves_as_source(tiny_export, make_tiny, tmp_path):
    archive = tmp_path / "tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tiny_export, arcname="whatever/they/call/it")
    assert is_intact(make_tiny(source=archive), tiny_entry())


def test_the_checks_refuse_a_recogniser_that_recognises_nobody(make_tiny):
    with pytest.raises(VerificationError, match="tiny is refused"):
        make_tiny(check=verify_apart)


@pytest.mark.parametrize("name", sorted(load_catalog().models))
def test_a_converted_model_passes_its_checks(name):
    model_dir = ROOT / "models" / name
    if not model_dir.is_dir():
        pytest.skip(f"models/{name} has not been converted")
    assert is_intact(model_dir, load_catalog().entry(name))
    verify(model_dir)
