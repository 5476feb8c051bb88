"""A manifest is read wholly or refused with a message that names the file and the key."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from inference.manifest import Calibration, Manifest, ManifestError
from tests.support.models.manifests import manifest_document, write_model


@pytest.fixture
def document() -> dict[str, Any]:
    return manifest_document(
        "arcface", (3, 112, 112), {"embedding": (-1, 128)}, {"scale": 2}, task="recognition"
    )


def test_a_manifest_is_read_into_typed_fields(tmp_path: Path, document: dict[str, Any]) -> None:
    document["embedding"] = {"dim": 128, "impostor_mean": 0.01, "threshold": 0.4}
    manifest = Manifest.load(write_model(tmp_path / "m", document))
    assert manifest.family == "arcface"
    assert manifest.input("image").shape == (-1, 3, 112, 112)
    assert manifest.output("embedding").name == "embedding.tmp_0"
    assert manifest.embedding_dim == 128
    assert manifest.calibration == Calibration(0.01, 0.4)
    assert manifest.option("scale", 1.5) == 2.0
    assert manifest.option("missing", "default") == "default"
    assert manifest.program_path.is_file()
    with pytest.raises(dataclasses.FrozenInstanceError):
        manifest.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", 2, "format: 2"),
        ("task", "cooking", "task: 'cooking'"),
        ("task", None, "task: None"),
        ("name", 7, "name: 7"),
        ("max_batch", -1, "max_batch: -1"),
        ("max_batch", True, "max_batch: True"),
        ("inputs", [], "inputs: is empty"),
        ("inputs", {}, "inputs: {}"),
        ("inputs", ["x"], r"inputs\[0\]: 'x'"),
        ("outputs", [{"name": "a", "alias": "b", "dtype": "float32"}], r"outputs\[0\]\.shape"),
        (
            "outputs",
            [{"name": "a", "alias": "b", "dtype": "f4", "shape": [1]}],
            r"outputs\[0\]\.dtype: 'f4'",
        ),
        (
            "outputs",
            [{"name": "a", "alias": "b", "dtype": "float32", "shape": [0, "x"]}],
            r"outputs\[0\]\.shape",
        ),
        ("options", [], r"options: \[\]"),
        ("embedding", {"size": 1}, r"embedding\.dim: is missing"),
        ("embedding", {"dim": 1, "threshold": 0.4}, r"embedding\.impostor_mean: is missing"),
        (
            "embedding",
            {"dim": 1, "threshold": 0.4, "impostor_mean": 0.5},
            r"embedding\.threshold: 0\.4 should",
        ),
    ],
)
def test_a_wrong_value_is_refused_naming_file_and_key(
    tmp_path: Path, document: dict[str, Any], key: str, value: object, message: str
) -> None:
    document[key] = value
    with pytest.raises(ManifestError, match=r"model\.yml: " + message):
        Manifest.load(write_model(tmp_path / "m", document))


@pytest.mark.parametrize("key", ["format", "name", "task", "family", "inputs", "outputs"])
def test_a_missing_key_is_named(tmp_path: Path, document: dict[str, Any], key: str) -> None:
    del document[key]
    with pytest.raises(ManifestError, match=rf"model\.yml: {key}: is missing"):
        Manifest.load(write_model(tmp_path / "m", document))


def test_a_model_that_is_not_there_is_refused_with_the_command_that_makes_it(
    tmp_path: Path,
) -> None:
    with pytest.raises(ManifestError, match="python -m convert blazeface"):
        Manifest.load(tmp_path / "blazeface")


@pytest.mark.parametrize("text", ["", "- a", "{", "a: [", "\x00"])
def test_a_manifest_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.yml").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"model\.yml"):
        Manifest.load(tmp_path)


def test_a_missing_file_of_the_model_is_named(tmp_path: Path, document: dict[str, Any]) -> None:
    model = write_model(tmp_path / "m", document)
    (model / "serving_server" / "inference.pdiparams").unlink()
    with pytest.raises(ManifestError, match=r"inference\.pdiparams is missing"):
        Manifest.load(model)


def test_a_damaged_file_fails_the_check_of_hashes(tmp_path: Path, document: dict[str, Any]) -> None:
    document["files"] = {"inference.pdmodel": hashlib.sha256(b"").hexdigest()}
    manifest = Manifest.load(write_model(tmp_path / "m", document))
    manifest.check_files()
    manifest.program_path.write_bytes(b"damaged")
    with pytest.raises(ManifestError, match=r"files\.inference\.pdmodel: SHA-256"):
        manifest.check_files()


def test_unknown_aliases_and_wrong_options_are_refused(
    tmp_path: Path, document: dict[str, Any]
) -> None:
    document["options"] = {"scale": "wide", "flag": 1}
    manifest = Manifest.load(write_model(tmp_path / "m", document))
    with pytest.raises(ManifestError, match="inputs: no alias 'picture'; there are: image"):
        manifest.input("picture")
    with pytest.raises(ManifestError, match="outputs: no alias 'logits'"):
        manifest.output("logits")
    with pytest.raises(ManifestError, match=r"options\.scale: 'wide' should be of type float"):
        manifest.option("scale", 1.0)
    with pytest.raises(ManifestError, match=r"options\.flag"):
        manifest.option("flag", False)
