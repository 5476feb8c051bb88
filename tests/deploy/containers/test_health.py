"""What a container's health check asks, and what it makes of the answer."""

from __future__ import annotations

import contextlib
import http.server
import threading

import pytest

from deploy.containers import health
from runtime.roles import Role
from settings.config import ConfigError, load_config
from tests.support.service import ROOT


@pytest.fixture
def config():
    return load_config(ROOT / "config.yml")


def without(config, **settings):
    return config.model_copy(update=settings)


def test_a_gateway_is_asked_for_all_of_the_service(config):
    for role in (Role.ALL, Role.GATEWAY):
        assert health.address(config, role) == "http://127.0.0.1:8300/health"


def test_a_gateway_that_listens_everywhere_is_asked_on_this_machine(config):
    gateway = config.gateway.model_copy(update={"host": "0.0.0.0"})
    url = health.address(without(config, gateway=gateway), Role.ALL)
    assert url == "http://127.0.0.1:8300/health"


def test_a_pipeline_alone_is_asked_for_its_figures(config):
    assert health.address(config, Role.PIPELINE) == "http://127.0.0.1:9998/metrics"
    gateway = config.gateway.model_copy(update={"port": 0})
    url = health.address(without(config, gateway=gateway), Role.ALL)
    assert url == "http://127.0.0.1:9998/metrics"


def test_a_pipeline_without_http_cannot_be_asked(config):
    with pytest.raises(ConfigError, match="http_port: 0 leaves nothing that tells of its health"):
        health.address(without(config, http_port=0), Role.PIPELINE)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("python web_service.py --config c.yml", Role.ALL),
        ("python /opt/face-serving/web_service.py --role pipeline", Role.PIPELINE),
        ("python web_service.py --role=gateway --config c.yml", Role.GATEWAY),
        ("python -m library stats", Role.ALL),
    ],
)
def test_the_role_is_that_of_the_process_that_runs(tmp_path, command, role):
    for number, words in (("7", "tini -- x"), ("9", command), ("self", "--role gateway")):
        (tmp_path / number).mkdir()
        (tmp_path / number / "cmdline").write_bytes(words.replace(" ", "\0").encode() + b"\0")
    assert health.running_role(tmp_path) == role


@contextlib.contextmanager
def server(status):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"status": "it"}')

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}/health"
        made.shutdown()


def test_an_answer_that_all_is_well_is_health(capsys, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(200) as url:
        assert health.asked(url) == 0
    assert capsys.readouterr().out == f"{url}: ok\n"


def test_any_other_answer_and_none_are_not_and_it_is_said_why(capsys):
    with server(503) as url:
        assert health.asked(url) == 1
    assert capsys.readouterr().out == f'{url}: 503: {{"status": "it"}}\n'
    assert health.asked(url) == 1
    assert "refused" in capsys.readouterr().out


def test_settings_that_cannot_be_used_are_no_health(tmp_path, capsys):
    (tmp_path / "config.yml").write_text("name: 7 of 9\n")
    assert health.main(tmp_path / "config.yml", tmp_path) == 1
    assert "config.yml" in capsys.readouterr().out
