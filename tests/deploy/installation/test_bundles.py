"""Bundles: what is in one, and that nothing of a wrong one is used."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from deploy.__main__ import main
from deploy.bundling import bundle
from deploy.installation import bundle_file
from deploy.installation.bundle_file import MANIFEST, read_manifest, unpack
from deploy.installation.errors import InstallError
from deploy.installation.release import name_of


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar}


def write(file: Path, contents: dict[str, bytes], kinds: dict[str, bytes] | None = None) -> Path:
    with tarfile.open(file, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.type = (kinds or {}).get(name, tarfile.REGTYPE)
            if member.type != tarfile.REGTYPE:
                member.size, member.linkname = 0, "/etc/passwd"
            tar.addfile(member, io.BytesIO(content))
    return file


def test_a_bundle_holds_a_release_its_packages_and_its_models(make_bundle, project, tmp_path):
    file = make_bundle()
    manifest = read_manifest(file)
    assert manifest.release == name_of(project)
    names = set(manifest.files)
    assert {"project/web_service.py", "project/deploy/install", "project/config.yml"} <= names
    assert {"wheels/one-1.0-py3-none-any.whl", "models/detector/model.yml"} <= names
    assert "project/deploy/install" in manifest.executable
    assert not any(".pyc" in name or "/tests/" in name for name in names)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    assert unpack(file, folder) == manifest
    assert name_of(folder / "project") == manifest.release


def test_the_same_release_makes_the_same_bundle(make_bundle):
    assert make_bundle("one.tar").read_bytes() == make_bundle("other.tar").read_bytes()


def test_a_release_is_named_by_what_is_in_it(project):
    before = name_of(project)
    assert before.startswith("0.1.0-")
    (project / "settings" / "config.py").open("a").write("# another line\n")
    changed = name_of(project)
    assert changed != before
    (project / "scripts" / "setup").chmod(0o644)
    assert name_of(project) != changed


@pytest.fixture
def good(make_bundle) -> dict[str, bytes]:
    return members(make_bundle())


def refused(tmp_path, contents, said, kinds=None) -> None:
    file = write(tmp_path / "wrong.tar", contents, kinds)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(InstallError, match=said):
        unpack(file, folder)
    assert not (tmp_path / "escaped").exists()


def test_a_changed_file_is_refused(good, tmp_path):
    name = "models/recogniser/model.yml"
    refused(tmp_path, {**good, name: good[name].swapcase()}, "damaged: another SHA-256")


def test_a_file_of_another_size_is_refused(good, tmp_path):
    refused(tmp_path, {**good, "models/detector/model.yml": b"x"}, "another size")


def test_a_missing_file_is_refused(good, tmp_path):
    del good["wheels/one-1.0-py3-none-any.whl"]
    refused(tmp_path, good, "1 files are missing")


def test_a_file_that_is_not_named_is_refused(good, tmp_path):
    refused(tmp_path, {**good, "wheels/evil.whl": b"x"}, "'wheels/evil.whl' is not in its")


def test_a_link_is_refused(good, tmp_path):
    name = "models/detector/model.yml"
    refused(tmp_path, good, "is not a file", {name: tarfile.SYMTYPE})


@pytest.mark.parametrize(
    "name",
    ["../escaped", "/escaped", "project/../../escaped", "elsewhere/x", "project//x", "project/./x"],
)
def test_a_name_that_leads_elsewhere_is_refused(good, tmp_path, name):
    manifest = json.loads(good[MANIFEST])
    manifest["files"][name] = {"bytes": 1, "sha256": "0" * 64, "executable": False}
    good = {**good, MANIFEST: json.dumps(manifest).encode(), name: b"x"}
    refused(tmp_path, good, "is no name of a bundle's file")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "of format 2, 1 is known"),
        ({"files": None}, "cannot be read"),
        ({"release": "../x"}, "is not understood"),
        ({"files": {"wheels/x": {"bytes": 1 << 50, "sha256": "", "executable": False}}}, "larger"),
    ],
)
def test_a_manifest_that_is_none_is_refused(good, tmp_path, change, said):
    manifest = {**json.loads(good[MANIFEST]), **change}
    refused(tmp_path, {**good, MANIFEST: json.dumps(manifest).encode()}, said)


def test_a_bundle_within_itself_is_refused(good, tmp_path):
    first = {"project/x": b"x", **good}
    refused(tmp_path, first, f"does not begin with {MANIFEST}")


@pytest.mark.parametrize("content", [b"", b"no tar", b"\x1f\x8b" + b"x" * 600])
def test_what_is_no_bundle_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "x.tar"
    file.write_bytes(content)
    with pytest.raises(InstallError, match="no bundle") as told:
        read_manifest(file)
    assert "\n" not in str(told.value)


def test_without_models_no_bundle_is_made(make_bundle, tmp_path, capsys):
    make_bundle()
    out, wheels = tmp_path / "none.tar", tmp_path / "wheels"
    words = ["bundle", "--out", str(out), "--wheels", str(wheels), "--models-dir", str(tmp_path)]
    assert main([*words[:5], "--models-dir", str(wheels)]) == 1
    assert "no models" in capsys.readouterr().err
    assert not out.exists()


def test_what_models_were_converted_from_goes_in_when_asked_for(
    make_bundle, tmp_path, monkeypatch, capsys
):
    make_bundle()
    cache = tmp_path / "converted-from" / "npm"
    cache.mkdir(parents=True)
    (cache / "package-1.0.tgz").write_bytes(b"a package of npm")
    monkeypatch.setattr(bundle, "CACHE_DIR", cache.parent)
    out = tmp_path / "whole.tar"
    words = ["bundle", "--out", str(out), "--wheels", str(tmp_path / "wheels"), "--sources"]
    assert main([*words, "--models-dir", str(tmp_path / "bundled-models")]) == 0
    assert "release 0.1.0-" in capsys.readouterr().out
    assert f"{bundle_file.SOURCES}/npm/package-1.0.tgz" in read_manifest(out).files
