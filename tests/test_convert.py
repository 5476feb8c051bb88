"""Conversions: catalog, Paddle exports, serving format, what stands in models/ and when."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from convert import paddle_export
from convert.__main__ import main
from convert.catalog import PackageSource, load_catalog
from convert.conversion import convert
from convert.errors import ConvertError, VerificationError
from convert.fetch import Fetcher
from convert.model_directory import is_intact, locked
from convert.onnx_model import run_paddle
from convert.run import Run
from convert.verify import verify, verify_apart
from ops.adapters import ADAPTERS
from ops.manifest import Manifest
from tests.tiny_models import catalog_of, tiny_entry, write_tiny_model

ROOT = Path(__file__).resolve().parents[1]


def accept(model_dir: Path) -> None:
    """A check that every model passes."""


@pytest.fixture(scope="module")
def tiny_export(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("tiny-export")
    write_tiny_model(directory)
    return directory


@pytest.fixture
def make_tiny(tmp_path, tiny_export):
    """Convert the tiny model into a directory of models."""

    def make(models_dir: Path = tmp_path / "models", source=tiny_export, check=accept) -> Path:
        entry = tiny_entry()
        with locked(models_dir):
            fetcher = Fetcher(catalog_of(entry), tmp_path / "cache")
            convert(entry, models_dir, fetcher, source=source, check=check)
        return models_dir / entry.name

    return make


def test_the_catalog_knows_every_model_and_each_has_an_adapter():
    models = load_catalog().models
    assert set(models) == {
        "blazeface",
        "facemesh",
        "faceres",
        "emotion",
        "antispoof",
        "liveness",
        "face_resnet_128",
        "mobilefacenet_128",
        "arcface_iresnet50",
        "blazeface_fpn_ssh",
        "scrfd_500m",
        "minifasnet_v2",
        "minifasnet_v1se",
    }
    assert {entry.family for entry in models.values()} == set(ADAPTERS)


def test_the_default_set_covers_each_task_and_falls_back_to_a_registry_package():
    catalog = load_catalog()
    default = catalog.default_entries()
    assert {entry.task for entry in default} == {
        "detection",
        "landmark",
        "recognition",
        "attributes",
        "liveness",
    }
    for entry in default:
        last = entry if entry.fallback is None else catalog.entry(entry.fallback)
        assert all(isinstance(source, PackageSource) for source in last.sources)


def test_models_that_may_not_be_sold_are_marked():
    marked = {e.name for e in load_catalog().models.values() if not e.licence.commercial}
    assert marked == {"mobilefacenet_128", "arcface_iresnet50", "scrfd_500m"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("task: detection", "task: dancing"), r"models\.blazeface\.task"),
        (("package: human", "package: nobody"), "nobody is no package"),
        (("fallback: face_resnet_128", "fallback: nothing"), "fallback nothing"),
        (("integrity: sha512-", "integrity: md5-"), r"packages\.human\.integrity"),
        (("models/blazeface.json", "../blazeface.json"), "leaves the archive"),
        (("models:\n  blazeface:", "models: 3\nrest:\n  blazeface:"), "expected the maps"),
    ],
)
def test_a_wrong_catalog_is_refused_by_file_and_key(tmp_path, change, expected):
    text = (ROOT / "convert" / "catalog.yml").read_text()
    assert change[0] in text
    path = tmp_path / "catalog.yml"
    path.write_text(text.replace(*change, 1))
    with pytest.raises(ConvertError, match=expected) as error:
        load_catalog(path)
    assert str(path) in str(error.value)


def test_a_fixed_batch_becomes_dynamic_and_the_values_stay(tmp_path):
    write_tiny_model(tmp_path / "fixed", batch=1)
    translation = paddle_export.translate(
        tmp_path / "fixed", tmp_path / "free", inputs=["image"], outputs=["embedding"]
    )
    assert translation.inputs[0].shape == (-1, 3, 8, 8)
    assert translation.outputs[0].shape == (-1, 4)
    images = np.random.default_rng(7).normal(size=(3, 3, 8, 8)).astype(np.float32)
    name = translation.outputs[0].name
    together = run_paddle(tmp_path / "free", {"x": images})[name]
    alone = [run_paddle(tmp_path / "fixed", {"x": image[None]})[name][0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_an_export_with_other_variables_than_expected_is_refused(tiny_export, tmp_path):
    with pytest.raises(ConvertError, match="expected image, im_shape"):
        paddle_export.translate(
            tiny_export, tmp_path / "out", inputs=["image", "im_shape"], outputs=["boxes"]
        )


def test_a_file_that_is_no_paddle_program_is_refused(tmp_path):
    for name in ("inference.pdmodel", "inference.pdiparams"):
        (tmp_path / name).write_bytes(b"nonsense" * 100)
    with pytest.raises(ConvertError, match="no model that Paddle"):
        paddle_export.translate(tmp_path, tmp_path / "out", inputs=["image"], outputs=["out"])


def test_paddle_serving_loads_and_runs_what_was_written(make_tiny):
    from paddle_serving_app.local_predict import LocalPredictor

    model_dir = make_tiny()
    predictor = LocalPredictor()
    predictor.load_model_config(str(model_dir / "serving_server"))
    images = np.random.default_rng(7).normal(size=(3, 3, 8, 8)).astype(np.float32)
    result = predictor.predict(feed={"x": images}, fetch=["embedding"], batch=True)
    assert result["embedding"].shape == (3, 4)
    assert np.isfinite(result["embedding"]).all()


def test_text_and_stream_configuration_say_the_same(make_tiny):
    from google.protobuf import text_format
    from paddle_serving_client.proto import general_model_config_pb2 as messages

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
    with locked(tmp_path), pytest.raises(ConvertError, match="another conversion"):
        with locked(tmp_path):
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


def test_intact_models_are_skipped_without_loading_paddle(make_tiny):
    models_dir = make_tiny().parent
    script = (
        "import sys; from pathlib import Path\n"
        "from convert.run import Run; from convert.catalog import Catalog\n"
        "catalog = Catalog.model_validate_json(sys.argv[1])\n"
        "run = Run(catalog, Path(sys.argv[2]))\n"
        "run.convert_default()\n"
        "assert run.convert_each(list(catalog.models.values())) == []\n"
        "assert not {'paddle', 'httpx', 'numpy'} & set(sys.modules), 'slow imports'\n"
    )
    catalog = catalog_of(tiny_entry(default=True))
    begun = time.monotonic()
    command = [sys.executable, "-c", script, catalog.model_dump_json(), str(models_dir)]
    subprocess.run(command, check=True, cwd=ROOT)
    assert time.monotonic() - begun < 3  # well under one on a quiet machine


def test_a_local_tar_serves_as_source(tiny_export, make_tiny, tmp_path):
    archive = tmp_path / "tiny.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tiny_export, arcname="whatever/they/call/it")
    assert is_intact(make_tiny(source=archive), tiny_entry())


def test_the_checks_refuse_a_recogniser_that_recognises_nobody(make_tiny):
    with pytest.raises(VerificationError, match="tiny is refused"):
        make_tiny(check=verify_apart)


def test_set_up_falls_back_in_one_line_and_stays_with_the_fallback(
    tmp_path, tiny_export, capsys, monkeypatch
):
    wanted = tiny_entry(name="wanted", default=True, fallback="tiny")
    stand_in = tiny_entry()
    made = []

    def convert_locally(entry, models_dir, fetcher, source=None):
        made.append(entry.name)
        local = None if entry.name == "wanted" else tiny_export
        convert(entry, models_dir, fetcher, source=local, check=accept)

    monkeypatch.setattr("convert.conversion.convert", convert_locally)
    run = Run(catalog_of(wanted, stand_in), tmp_path / "models", cache_dir=tmp_path / "cache")
    run.convert_default()
    lines = [line for line in capsys.readouterr().err.splitlines() if "wanted" in line]
    assert len(lines) == 1
    assert lines[0].startswith("Falling back to tiny for wanted: 127.0.0.1 cannot be reached")
    assert run.is_converted(stand_in)
    run.convert_default()
    assert made == ["wanted", "tiny"]
    assert "python -m convert wanted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["nobody"], 1, "no model is called nobody; known: blazeface"),
        (["scrfd_500m", "--source", "nowhere.tar"], 1, "nowhere.tar: there is no such file"),
        (["scrfd_500m", "--source", "convert"], 1, "does not hold det_500m.onnx"),
    ],
)
def test_errors_of_the_command_are_one_line(tmp_path, capsys, arguments, status, expected):
    assert main([*arguments, "--models-dir", str(tmp_path)]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert expected in lines[0]


@pytest.mark.parametrize("arguments", [[], ["--all", "--source", "x"], ["a", "b", "--source", "x"]])
def test_a_command_line_that_asks_for_nothing_or_too_much_is_refused(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_the_list_names_every_model(tmp_path, capsys):
    assert main(["--list", "--models-dir", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in load_catalog().models)


@pytest.mark.parametrize("name", sorted(load_catalog().models))
def test_a_converted_model_passes_its_checks(name):
    model_dir = ROOT / "models" / name
    if not model_dir.is_dir():
        pytest.skip(f"models/{name} has not been converted")
    assert is_intact(model_dir, load_catalog().entry(name))
    verify(model_dir)
