"""/docs as a browser shows it, on a machine without the internet."""

from __future__ import annotations

import re
import shutil
import subprocess

import httpx
import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Whatever is not on this machine cannot be found.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # In page's time: it goes on as soon as nothing is left to wait for.
    "--virtual-time-budget=30000",
    "--enable-logging=stderr",
)


def runs(program: str) -> bool:
    """Some systems have a program of this name that only says where the browser can be had."""
    if shutil.which(program) is None:
        return False
    asked = subprocess.run([program, "--version"], capture_output=True, timeout=60, check=False)
    return asked.returncode == 0


@pytest.fixture
def browse(tmp_path):
    """The elements of a page after its scripts, and what the browser said about it."""
    program = next(filter(runs, CHROMIUM), None)
    if program is None:
        pytest.skip("no chromium: apt install chromium")

    def dump(url: str) -> tuple[str, str]:
        profile = tmp_path / "profile"
        done = subprocess.run(
            [program, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return dump


def test_the_page_shows_every_operation(service, browse):
    page, said = browse(f"{service.gateway_url}/docs")
    shown = set(re.findall(r'data-path="([^"]+)"', page))
    described = httpx.get(f"{service.gateway_url}/openapi.json", timeout=60).json()
    assert shown == set(described["paths"])
    assert described["paths"]["/face-api/v3/face/detect"]["post"]["summary"] in page
    assert "Unable to render" not in page
    # A rule of the page's policy that the page itself breaks, and a script that fails.
    assert "Content Security Policy" not in said
    assert "Uncaught" not in said


def test_the_page_asks_for_nothing_from_elsewhere(service):
    answer = httpx.get(f"{service.gateway_url}/docs", timeout=60)
    assert "http" not in answer.text
    policy = dict(
        rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    for path in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        asset = httpx.get(service.gateway_url + path, timeout=60)
        assert asset.status_code == 200
        assert asset.content
