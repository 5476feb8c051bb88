"""A real nginx with a file for its section `http`, and a certificate for it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.service import wait_until

_CONFIG = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {include};
}}
"""


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key; skips without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


class Nginx:
    """nginx in a folder of its own; skips where it is not installed."""

    def __init__(self, folder: Path, include: Path, port: int) -> None:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            pytest.skip("nginx is not installed")
        folder.mkdir(exist_ok=True)
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, include=include))
        self._errors = folder / "error.log"
        self._process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(config), "-e", str(self._errors)],
            stderr=subprocess.PIPE,
        )
        if not wait_until(lambda: self._process.poll() is not None or _listens(port), 20):
            self.close()
            raise RuntimeError("nginx does not listen")
        if self._process.poll() is not None:
            assert self._process.stderr is not None
            raise RuntimeError(self._process.stderr.read().decode())

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(20)
        if self._process.stderr is not None:
            self._process.stderr.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
