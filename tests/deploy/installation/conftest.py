"""Releases whose environment is this one, so that they are made in a moment, and their bundles."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.__main__ import main
from deploy.bundling import bundle
from deploy.installation import release
from deploy.installation.calls import Programs
from deploy.installation.errors import InstallError
from deploy.installation.source import _SYSTEMS_OWN
from tests.support.service import ROOT

_SETUP = f"""#!/bin/sh
# In the place of the one that fetches packages.
set -eu
cd "$(dirname "$0")/.."
echo "$PYTHON_VERSION $PIP_NO_INDEX $PIP_CONFIG_FILE" >.told
ls "$PIP_FIND_LINKS" >>.told
ln -sfn {ROOT}/.venv .venv
"""
# What a release has to have to be installed; the rest would only be copied and compiled.
_KEPT = ("deploy", "scripts")


def system_python() -> str:
    """The version of a Python that every user of this machine can run; skips without one."""
    for version in ("3.12", "3.11", "3.13"):
        done = subprocess.run(
            [ROOT / "scripts" / "find-python", version],
            env={**os.environ, **_SYSTEMS_OWN, "HOME": "/nonexistent"}, capture_output=True,
        )  # fmt: skip
        if done.returncode == 0:
            return version
    pytest.skip("no Python of the system that the service runs on")


@pytest.fixture(scope="session")
def base_project(tmp_path_factory) -> Path:
    """The project's files with a set-up that takes this environment."""
    folder = tmp_path_factory.mktemp("project")
    release.copy(ROOT, folder)
    for path in folder.rglob("*.*"):
        place = path.relative_to(folder).parts
        if len(place) > 1 and place[0] not in _KEPT and path.name != "__init__.py":
            path.unlink()
    (folder / "scripts" / "setup").write_text(_SETUP)
    return folder


@pytest.fixture
def project(base_project, tmp_path) -> Path:
    """A copy of it that the test may change."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    release.copy(base_project, folder)
    return folder


@pytest.fixture
def make_bundle(project, tmp_path, monkeypatch) -> Callable[..., Path]:
    """Makes a bundle of that project with two models."""
    monkeypatch.setattr(bundle, "ROOT", project)
    models = tmp_path / "bundled-models"
    for name in ("detector", "recogniser"):
        (models / name / "serving_server").mkdir(parents=True)
        (models / name / "model.yml").write_text(f"name: {name}\n")
        (models / name / "serving_server" / "inference.pdmodel").write_bytes(name.encode())
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "one-1.0-py3-none-any.whl").write_bytes(b"a package")

    def make(name: str = "bundle.tar") -> Path:
        contents = bundle.Contents(system_python(), "cpu", models, wheels)
        bundle.make(tmp_path / name, contents, print)
        return tmp_path / name

    return make


@pytest.fixture
def in_process(monkeypatch) -> None:
    """Commands of a release are run here instead of by a process of their own."""

    def run(self: Programs, module: str, *words: str, capture: bool = False) -> str:
        assert module == "deploy"
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = main(list(words))
        if status:
            raise InstallError(f"deploy {' '.join(words)} ended with status {status}")
        return out.getvalue()

    monkeypatch.setattr(Programs, "_run", run)
