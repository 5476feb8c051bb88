"""A real nginx with the rendered routes, over TLS, in front of small servers."""

from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from deploy.tenants.render.all_files import rendered, write
from deploy.tenants.tenant_file import load_tenants
from runtime.ports import unused_ports
from tests.support.nginx import Nginx, make_certificate
from tests.support.tenants import entry, write_tenants

NAMES = ("front", "front-desk")


class _Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, and by which of the servers."""

    def do_GET(self) -> None:
        read = self.rfile.read(int(self.headers.get("content-length", 0)))
        content = {
            "port": self.server.server_address[1], "path": self.path, "bytes": len(read),
            "headers": {key.lower(): value for key, value in self.headers.items()},
        }  # fmt: skip
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the server looks for it

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """A client of nginx, the tenants' ports by name, and the folder."""
    folder = tmp_path_factory.mktemp("nginx")
    certificate, key = make_certificate(folder)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Echo) for _ in NAMES]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    ports = {name: server.server_address[1] for name, server in zip(NAMES, servers)}
    others = iter(unused_ports(5))
    port = next(others)
    entries = [entry(name, (next(others), next(others), ports[name])) for name in NAMES]
    top = {"proxy": {"port": port, "certificate": str(certificate), "certificate_key": str(key)}}
    file = load_tenants(write_tenants(folder, entries, **top))
    for tenant in file.tenants:
        tenant.log.mkdir(parents=True)
    out = folder / "out"
    write(rendered(file, out), out)
    nginx = Nginx(folder / "nginx", out / "nginx" / "face-tenants.conf", port)
    context = ssl.create_default_context(cafile=str(certificate))
    with httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=30) as client:
        yield client, ports, file
    nginx.close()
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_tenant_is_reached_below_its_name_and_nothing_else_is(proxy):
    client, ports, _ = proxy
    for name in NAMES:
        answer = client.post(f"/{name}/compare?x=1", content=b"abc").json()
        assert (answer["port"], answer["path"]) == (ports[name], "/compare?x=1")
        assert answer["bytes"] == 3
    for path in ("/", "/compare", "/front-", "/nobody/compare", "/fron/compare"):
        assert client.get(path).status_code == 404


def test_a_tenants_metrics_are_not_passed_on_however_they_are_spelled(proxy):
    client, _, _ = proxy
    for path in ("/front/metrics", "/front//metrics", "/front/x/../metrics", "/front/%6detrics"):
        assert client.get(path).status_code == 404


def test_the_gateway_is_told_for_whom_and_how_the_proxy_was_asked(proxy):
    client, _, _ = proxy
    sent = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "gopher", "x-api-key": "k"}
    headers = client.get("/front/health", headers=sent).json()["headers"]
    # What the client says stands left of what is known.
    assert headers["x-forwarded-for"] == "203.0.113.9, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-api-key"] == "k"
    assert headers["host"] == "localhost"


def test_each_tenant_has_a_log_of_its_own_without_query_strings(proxy):
    client, _, file = proxy
    client.get("/front-desk/health?access_token=secret")
    client.get("/front/docs")
    front, desk = (tenant.log / "access.log" for tenant in file.tenants)
    assert "GET /front-desk/health 200" in desk.read_text()
    assert "/front-desk/" not in front.read_text()
    assert "secret" not in desk.read_text()
