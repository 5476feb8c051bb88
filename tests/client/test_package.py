"""The client as a package: installed into empty environments, against the running service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import pictures
from tests.support.service import ROOT, Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
CLIENT = ROOT / "client"
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
# What pip says where no registry answers.
UNREACHABLE = re.compile("no matching distribution|connection|timed out|resolution", re.IGNORECASE)
TYPED = """
import asyncio, sys
from pathlib import Path
from client import AsyncFaceService, FaceService, FaceServiceError, user_id_of

def faces(url: str, picture: Path) -> int:
    with FaceService(url) as service:
        return len(service.detect(picture))

async def others(url: str, picture: Path) -> int:
    async with AsyncFaceService(url) as service:
        return len(await service.detect(picture))

url, picture = sys.argv[1], Path(sys.argv[2])
print(faces(url, picture), asyncio.run(others(url, picture)), user_id_of("ada"))
"""


def run(*command: object, folder: Path) -> str:
    """What a program prints. Its own folder is not searched for modules."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pip(python: str | Path, *arguments: object) -> None:
    """Run an interpreter's pip. Skips without a registry."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 and UNREACHABLE.search(done.stderr):
        pytest.skip(f"packages cannot be had: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def _pip_takes_an_interpreter(python: str) -> bool:
    """Whether it has a pip, of version 22.3 or later, that installs into another environment."""
    help_text = subprocess.run(
        [python, "-m", "pip", "--help"], capture_output=True, text=True, check=False
    )
    return "--python" in help_text.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CLIENT)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture
def environment(tmp_path) -> Callable[..., Path]:
    """Make an empty environment of a version of Python, and install the client into it.

    By the pip of that Python where it has one: to give each environment its own takes longer than
    all the rest. Gives the folder of its programs.
    """

    def make(version: str, client: object) -> Path:
        found = subprocess.run(
            [ROOT / "scripts" / "find-python", version], capture_output=True, text=True, check=False
        )
        if found.returncode != 0:
            pytest.skip(f"no Python {version} on this machine")
        base, programs = found.stdout.strip(), tmp_path / "environment" / "bin"
        install = ("install", "--quiet", "--no-compile", client)
        if _pip_takes_an_interpreter(base):
            run(base, "-m", "venv", "--without-pip", programs.parent, folder=tmp_path)
            pip(base, "--python", programs / "python", *install)
        else:
            run(base, "-m", "venv", programs.parent, folder=tmp_path)
            pip(programs / "python", *install)
        return programs

    return make


@pytest.fixture
def picture(tmp_path) -> Path:
    file = tmp_path / "face.jpg"
    file.write_bytes(pictures.encode(pictures.astronaut()))
    return file


def test_the_wheel_is_the_folder_without_the_demo(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [*CLIENT.rglob("*.py"), CLIENT / "py.typed"]
    inside = {f"client/{file.relative_to(CLIENT).as_posix()}" for file in files}
    assert names == {name for name in inside if not name.startswith("client/demo/")}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_typed_client_needs_httpx_alone(service: Service, environment, wheel, picture, version):
    programs = environment(version, wheel)
    code = ("-I", "-c", TYPED, service.gateway_url, picture)
    assert run(programs / "python", *code, folder=picture.parent) == "1 1 ada\n"
    there = ("-I", "-c", "import importlib.util as u; print(u.find_spec('numpy'))")
    assert run(programs / "python", *there, folder=picture.parent) == "None\n"


def test_a_checker_of_types_sees_those_of_the_installed_client(environment, wheel, tmp_path):
    programs = environment("3.12", wheel)
    (tmp_path / "typed.py").write_text(TYPED)
    (tmp_path / "mypy.ini").write_text("[mypy]\n")
    check = (sys.executable, "-m", "mypy", "--strict", "--python-executable", programs / "python")
    assert "no issues" in run(*check, "typed.py", folder=tmp_path)


@pytest.mark.parametrize("version", [VERSIONS[0], VERSIONS[-1]])
def test_the_pipelines_command_lines_come_with_their_extra(
    service: Service, environment, picture, version
):
    programs = environment(version, f"{CLIENT}[pipeline]")
    for way, place in (
        ("http", ("--url", service.url)),
        ("rpc", ("--address", f"127.0.0.1:{service.rpc_port}")),
    ):
        answer = run(
            programs / f"pipeline_{way}_client", *place, "--json", picture, folder=picture.parent
        )
        (image,) = json.loads(answer)["images"]
        assert len(image["faces"]) == 1
