"""The bill of materials: valid CycloneDX, and right on packages, models and licences."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import resources
from urllib.parse import urljoin

import jsonschema_rs
import pytest

from deploy.__main__ import main
from deploy.sbom.component import Component
from deploy.sbom.document import make_document, of_components
from deploy.sbom.models import models as models_in
from deploy.sbom.python_packages import locked_hashes, normal_name
from deploy.sbom.system_packages import cuda_libraries, debian_packages
from inference.manifest import Manifest
from tests.support.service import ROOT


@pytest.fixture(scope="module")
def validator():
    """CycloneDX 1.6, as its own library carries the schema."""
    pytest.importorskip("cyclonedx")
    folder = resources.files("cyclonedx") / "schema" / "_res"

    def load(name):
        return json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())

    bom = load("bom-1.6")
    others = [
        (urljoin(bom["$id"], f"{name}.SNAPSHOT.schema.json"), load(name))
        for name in ("spdx", "jsf-0.82", "cryptography-defs")
    ]
    registry = jsonschema_rs.Registry(others)
    return jsonschema_rs.validator_for(bom, registry=registry, validate_formats=True)


@pytest.fixture(scope="module")
def document(models):
    return make_document(ROOT, ROOT / "models", None)


def by_name(document):
    return {one["name"]: one for one in document["components"]}


def test_the_document_is_valid_cyclonedx(document, validator):
    validator.validate(document)
    wrong = {**document, "specVersion": 1.6}
    with pytest.raises(jsonschema_rs.ValidationError):
        validator.validate(wrong)


def test_every_package_of_this_environment_is_told_with_its_version(document):
    told = {
        normal_name(one["name"]): one["version"]
        for one in document["components"]
        if one["type"] == "library"
    }
    # The tool that knows.
    listed = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "list", "--format", "json", "--no-index"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed = {normal_name(one["name"]): one["version"] for one in json.loads(listed.stdout)}
    assert told == installed


def test_every_part_has_a_reference_of_its_own(document):
    references = [one["bom-ref"] for one in document["components"]]
    assert len(references) == len(set(references))


def test_the_locks_hashes_are_told_for_what_it_names(document):
    locked = locked_hashes([ROOT / "requirements.lock"])
    click = by_name(document)["click"]
    told = {one["value"] for one in click["properties"]}
    assert told == set(locked["click", click["version"]])
    assert len(told) >= 2


def test_a_licence_is_told_as_spdx_names_it(document):
    parts = by_name(document)
    assert parts["psycopg"]["licenses"] == [{"expression": "LGPL-3.0-only"}]
    assert parts["opencv-python-headless"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert parts["httptools"]["licenses"] in (
        [{"expression": "MIT"}],
        [{"license": {"id": "MIT"}}],
    )


def test_each_model_is_told_with_its_licence_source_and_files(document):
    told = by_name(document)["blazeface"]
    manifest = Manifest.load(ROOT / "models" / "blazeface")
    assert told["type"] == "machine-learning-model"
    assert told["licenses"] == [{"license": {"id": "MIT"}}]
    assert {"name": "face-serving:source", "value": manifest.source} in told["properties"]
    for part in told["components"]:
        (file,) = (ROOT / "models" / "blazeface").glob(f"*/{part['name']}")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        assert part["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_the_same_parts_are_the_same_document_but_for_the_time(document):
    again = make_document(ROOT, ROOT / "models", None)
    assert again["serialNumber"] == document["serialNumber"]
    other = of_components(ROOT, [Component("library", "a@1", "a", "1")])
    assert other["serialNumber"] != document["serialNumber"]


def system(root):
    """A small Debian with a CUDA library."""
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "var/lib/dpkg/status").write_text(
        "Package: libgomp1\nStatus: install ok installed\nArchitecture: amd64\n"
        "Version: 12.2.0-14+deb12u1\nDescription: GCC OpenMP library\n continued: here\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: tar\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.34\n"
    )
    (root / "etc").mkdir()
    (root / "etc/os-release").write_text('PRETTY_NAME="Debian"\nID=debian\n')
    for name, text in (
        ("libgomp1", "Format: https://example\nFiles: *\nLicense: GPL-3+ with exception\n text\n"),
        ("tar", "This package was debianized.\nLicense: all of them\n"),
    ):
        (root / "usr/share/doc" / name).mkdir(parents=True)
        (root / "usr/share/doc" / name / "copyright").write_text(text)
    libraries = root / "usr/local/cuda/lib64"
    libraries.mkdir(parents=True)
    (libraries / "libcudart.so.11.8.89").write_bytes(b"a library")
    (libraries / "libcudart.so.11.0").symlink_to("libcudart.so.11.8.89")
    (libraries / "libcudart.so").symlink_to("libcudart.so.11.8.89")


def test_the_systems_packages_are_told_with_what_their_copyright_files_say(tmp_path, validator):
    system(tmp_path)
    gomp, tar = debian_packages(tmp_path)
    assert gomp.purl == "pkg:deb/debian/libgomp1@12.2.0-14%2Bdeb12u1?arch=amd64"
    assert gomp.licences == ("GPL-3+ with exception",)
    assert (tar.version, tar.licences, tar.licence) == ("1:1.34", (), "not stated")
    (cuda,) = cuda_libraries(tmp_path)
    assert (cuda.name, cuda.sha256) == (
        "libcudart.so.11.8.89",
        hashlib.sha256(b"a library").hexdigest(),
    )
    validator.validate(of_components(ROOT, [gomp, tar, cuda]))


def test_a_system_without_debians_packages_has_none(tmp_path):
    assert debian_packages(tmp_path) == []
    assert cuda_libraries(tmp_path) == []


def test_no_models_are_no_components(tmp_path):
    assert models_in(tmp_path / "models") == []


def test_the_command_writes_a_file_prints_a_document_or_a_table(tmp_path, capsys, models):
    config = str(ROOT / "config.yml")
    assert main(["sbom", "--config", config, "--out", str(tmp_path / "sbom.json")]) == 0
    written = json.loads((tmp_path / "sbom.json").read_text())
    assert capsys.readouterr().out == ""
    assert main(["sbom", "--config", config]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["components"] == written["components"]
    assert main(["sbom", "--config", config, "--licences"]) == 0
    table = capsys.readouterr().out
    assert any("psycopg " in line and "LGPL-3.0-only" in line for line in table.splitlines())
    assert any("blazeface" in line and "model" in line for line in table.splitlines())


def test_a_place_that_cannot_be_written_is_named(tmp_path, capsys, models):
    place = tmp_path / "nowhere" / "sbom.json"
    assert main(["sbom", "--config", str(ROOT / "config.yml"), "--out", str(place)]) == 1
    assert f"deploy: {place}: No such file or directory" in capsys.readouterr().err
