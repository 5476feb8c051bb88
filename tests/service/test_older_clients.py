"""Clients of an older Python: Paddle Serving's own, and the project's from Python 3.8 on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support import pictures
from tests.support.clients.older_pythons import older_python
from tests.support.service import Service, difference, faces

ROUNDING = 0.01


@pytest.fixture
def picture(tmp_path) -> Path:
    file = tmp_path / "face.jpg"
    file.write_bytes(pictures.encode(pictures.astronaut()))
    return file


def run(python: str, *arguments: str, folder: Path) -> str:
    """The last line that a program prints."""
    environment = {**os.environ, "SERVING_LOG_PATH": str(folder), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [python, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def expected(service: Service, picture: Path) -> list:
    return faces(service.call(pictures.base64_of(picture.read_bytes())))


@pytest.mark.parametrize("way", ["http", "paddle_serving_server", "paddle_serving_client"])
def test_paddle_servings_own_client_gets_the_same_answer(service, picture, tmp_path, way):
    python = older_python("published", "3.9", "3.8")
    address = service.url if way == "http" else address_of(service)
    script = str(ROOT / "tests" / "support" / "clients" / "published_client.py")
    number, document = json.loads(run(python, script, way, str(picture), address, folder=tmp_path))
    (image,) = json.loads(document)["images"]
    assert number == 0
    assert difference(image["faces"], expected(service, picture)) < ROUNDING


@pytest.mark.parametrize("way", ["http", "rpc"])
def test_the_scripts_run_on_python_3_8(service, picture, tmp_path, way):
    python = older_python("client", "3.8", "3.9")
    place = ["--url", service.url] if way == "http" else ["--address", address_of(service)]
    script = str(ROOT / f"pipeline_{way}_client.py")
    answer = json.loads(run(python, script, *place, "--json", str(picture), folder=tmp_path))
    (image,) = answer["images"]
    assert len(image["faces"]) == len(expected(service, picture)) == 1


def address_of(service: Service) -> str:
    return f"127.0.0.1:{service.rpc_port}"


def test_the_face_service_class_runs_on_python_3_8(service, picture, tmp_path):
    python = older_python("client", "3.8", "3.9")
    code = (
        "import sys, asyncio; from pathlib import Path;"
        "from client import AsyncFaceService, FaceService;"
        f"service = FaceService({service.gateway_url!r});"
        f"print(len(service.detect(Path({str(picture)!r}))))"
    )
    assert run(python, "-c", code, folder=tmp_path) == "1"
