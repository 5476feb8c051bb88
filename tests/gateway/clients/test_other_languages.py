"""Clients in other languages, each with one story: a key's token, a group, a user, and its end.

The public Node SDK as the npm registry has it, and a client of what the JDK brings. They live in
`node` and `java` beside this file, and compare numbers and messages as their users do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.support.gateway.client import FACE, NOBODY, SIMILAR
from tests.support.service import ROOT

CLIENTS = ROOT / "tests" / "gateway" / "clients"
INSTALLED = ROOT / ".cache" / "clients"
# A registry that is not there is given up within that time, and the test skipped.
REGISTRY_S = 120
STORY_S = 300
PACKAGES = ("package.json", "package-lock.json")
CI = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0")


@pytest.fixture(scope="module")
def modules() -> Path:
    """Where Node finds the SDK: a folder for what the lock says, made once."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node or npm is not installed")
    source = CLIENTS / "node"
    digest = hashlib.sha256(b"".join((source / name).read_bytes() for name in PACKAGES))
    folder = INSTALLED / f"node-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=".node-", dir=INSTALLED)
        try:
            for name in PACKAGES:
                shutil.copy(source / name, made)
            _install(made)
            os.rename(made, folder)
        except OSError:
            # Another run has been quicker, and has the same.
            if not folder.is_dir():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder / "node_modules"


def _install(folder: str) -> None:
    try:
        subprocess.run(
            ["npm", *CI], cwd=folder, check=True, capture_output=True, timeout=REGISTRY_S
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last = (error.stderr or b"").decode(errors="replace").strip().splitlines()[:1]
        pytest.skip(f"npm could not install the SDK: {' '.join(last) or 'no answer'}")


def told(command: list[str], text: str, environment: dict[str, str]) -> None:
    """Run a client; it says "done", or what was wrong."""
    ended = subprocess.run(
        command,
        input=text,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=STORY_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr[-3000:]


def test_the_node_sdk(access_service, modules):
    key, secret = access_service.new_key("write")
    environment = {
        "FACE_URL": access_service.gateway_url,
        "FACE_KEY": key,
        "FACE_SECRET": secret,
        "NODE_PATH": str(modules),
        "NODE_OPTIONS": "--no-deprecation",
        "NO_PROXY": "127.0.0.1",
    }
    pictures = json.dumps({"face": FACE, "similar": SIMILAR, "nobody": NOBODY})
    told(["node", str(CLIENTS / "node" / "story.js")], pictures, environment)


@pytest.mark.parametrize("version", ["", "HTTP_1_1"], ids=["as it is by default", "HTTP/1.1"])
def test_the_client_of_the_jdk(access_service, version):
    """By default it asks, with its first request, whether the server would rather speak HTTP/2."""
    if not shutil.which("java"):
        pytest.skip("java is not installed")
    key, secret = access_service.new_key("write")
    program = str(CLIENTS / "java" / "Client.java")
    # Compiling a page of code quickly, and badly, takes less time than doing it well.
    command = ["java", "-XX:TieredStopAtLevel=1", program]
    command += [access_service.gateway_url, key, secret, *filter(None, [version])]
    told(command, f"{FACE}\n{SIMILAR}\n{NOBODY}\n", {})


def test_what_the_node_sdk_is_made_of_is_pinned_and_names_no_address():
    text = (CLIENTS / "node" / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert all(one["integrity"] for name, one in packages.items() if name)
    assert "://" not in text
