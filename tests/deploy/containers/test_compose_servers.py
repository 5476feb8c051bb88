"""What compose.yml mounts into nginx and Prometheus, tried with the real programs."""

from __future__ import annotations

import http.server
import os
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from runtime.ports import free_ports
from runtime.process import die_with_parent
from tests.support.service import ROOT, is_free, wait_until

COMPOSE = ROOT / "deploy" / "compose"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PROMTOOL = shutil.which("promtool")


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers with the request's head and the size of its body."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        size = int(self.headers["Content-Length"] or 0)
        self.rfile.read(size)
        content = f"{self.path} {size}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        self.do_POST()

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def backend():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory, backend):
    """The base URL of nginx with the file's settings, on a port of this machine, and its folder."""
    if NGINX is None or not shutil.which("openssl"):
        pytest.skip("no nginx or no openssl here")
    folder = tmp_path_factory.mktemp("nginx")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost", "-keyout", folder / "tls_key", "-out",
            folder / "tls_certificate"]  # fmt: skip
    subprocess.run(made, check=True, capture_output=True)
    port, _ = free_ports()
    process = subprocess.Popen(
        [NGINX, "-c", write_settings(folder, port, backend), "-p", folder, "-g", "daemon off;"],
        stdout=(folder / "access").open("w"),
        stderr=(folder / "errors").open("w"),
        preexec_fn=die_with_parent,
    )
    try:
        assert wait_until(lambda: not is_free(port) or process.poll() is not None, 30)
        assert process.poll() is None, (folder / "errors").read_text()
        yield f"https://localhost:{port}", folder
    finally:
        process.terminate()
        process.wait(30)


def write_settings(folder: Path, port: int, backend: int) -> Path:
    """The file with this machine's places for the container's."""
    text = (COMPOSE / "nginx.conf").read_text()
    for there, here in (
        ("user nginx;\n", "user root;\n" if os.geteuid() == 0 else ""),
        ("/run/nginx.pid", f"{folder}/nginx.pid"),
        ("/run/secrets/", f"{folder}/"),
        ("server face:8300;", f"server 127.0.0.1:{backend};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        # Where the container has a tmpfs.
        ("http {\n", "http {\n" + "".join(
            f"    {name}_temp_path {folder}/{name};\n"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )),
    ):  # fmt: skip
        assert there in text
        text = text.replace(there, here)
    file = folder / "nginx.conf"
    file.write_text(text)
    return file


@pytest.fixture
def client(nginx):
    url, folder = nginx
    trust = ssl.create_default_context(cafile=str(folder / "tls_certificate"))
    with httpx.Client(base_url=url, verify=trust, trust_env=False, timeout=60) as made:
        yield made


def test_nginx_passes_requests_on_over_tls_and_says_whom_they_are_from(client):
    answer = client.post(
        "/face-api/v3/face/detect?appid=shop",
        content=b"x" * 1_000_000,
        headers={"X-Forwarded-For": "203.0.113.7"},
    )
    assert answer.status_code == 200
    first, *head = answer.text.splitlines()
    assert first == "/face-api/v3/face/detect?appid=shop 1000000"
    # What the client says of itself is not believed.
    assert "X-Forwarded-For: 127.0.0.1" in head
    assert "X-Forwarded-Proto: https" in head


def test_nginx_takes_bodies_as_large_as_the_gateway_does_and_no_larger(client):
    most = 32 * 1024 * 1024
    assert client.post("/", content=bytes(most)).status_code == 200
    assert client.post("/", content=bytes(most + 1)).status_code == 413


def test_figures_are_not_for_the_outside(client):
    assert client.get("/metrics").status_code == 404
    assert client.get("/health").text.startswith("/health 0")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_old_tls_is_refused(nginx):
    url, _ = nginx
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with httpx.Client(verify=old, trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(url)


def test_nothing_of_a_requests_query_is_logged(nginx, client):
    client.get("/health?access_token=secret")
    assert wait_until(lambda: "GET /health" in (nginx[1] / "access").read_text(), 10)
    assert "secret" not in (nginx[1] / "access").read_text()


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool here")
def test_prometheus_accepts_its_settings_and_the_rules(tmp_path):
    text = (COMPOSE / "prometheus.yml").read_text()
    rules = ROOT / "deploy" / "monitoring" / "rules"
    for there, here in (
        ("/etc/prometheus/rules", str(rules)),
        ("/run/secrets", str(tmp_path)),
    ):
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "metrics_key").write_text("ak_1.secret")
    file = tmp_path / "prometheus.yml"
    file.write_text(text)
    done = subprocess.run(
        [PROMTOOL, "check", "config", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
