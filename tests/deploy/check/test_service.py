"""What the check says of an installed service: packages, settings, models, how it does."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest
import yaml

from deploy.check.machine import ThisMachine
from deploy.check.needs import Needs, Place, of_settings
from deploy.check.probes import service
from deploy.check.run import ROOT
from runtime.ports import unused_ports
from settings.config import load_config

MACHINE = ThisMachine()


@pytest.fixture
def config(tmp_path):
    """The project's settings with copies of the models, which a test may damage."""
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    file = tmp_path / "config.yml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    present = load_config(ROOT / "config.yml")
    for name in present.op:
        for directory in present.chosen_models(name):
            shutil.copytree(directory, tmp_path / "models" / directory.name, dirs_exist_ok=True)
    return load_config(file)


def of(findings, subject: str):
    (one,) = (finding for finding in findings if finding.subject == subject)
    return one


def test_the_packages_of_this_environment_are_as_locked():
    one = service.packages(ROOT, "cpu")
    assert one.outcome.value == "pass", one.found
    assert int(one.found.split()[0]) > 50


def test_a_package_of_another_version_and_one_that_is_missing_are_told(tmp_path):
    (tmp_path / "requirements.lock").write_text(
        "click==0.0.1 \\\n    --hash=sha256:00\n"
        "no-such-package==1.0 \\\n    --hash=sha256:00\n"
        "not-for-this-python==1.0 ; python_full_version < '3.0' \\\n    --hash=sha256:00\n"
    )
    one = service.packages(tmp_path, "cpu")
    assert one.outcome.value == "fail"
    assert "click 8" in one.found
    assert "no-such-package missing" in one.found
    assert "not-for-this-python" not in one.found


def test_without_a_lock_nothing_is_said_of_the_packages(tmp_path):
    assert service.packages(tmp_path, "gpu").outcome.value == "not applicable"


def test_models_that_are_there_and_intact_pass(config):
    findings = list(service.models(config, "all"))
    assert {one.outcome.value for one in findings} == {"pass"}
    assert "blazeface: 2 files as its manifest says (MIT)" in of(findings, "Detection").found


def test_a_damaged_model_is_named_with_its_stage(config):
    weights = config.model_dir("facemesh") / "serving_server" / "inference.pdiparams"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    findings = list(service.models(config, "all"))
    one = of(findings, "Landmark")
    assert one.outcome.value == "fail"
    assert "inference.pdiparams: SHA-256" in one.found
    assert one.facts["names"] == "facemesh"
    assert of(findings, "Detection").outcome.value == "pass"


def test_a_model_that_is_missing_and_one_without_its_weights_are_failures(config):
    shutil.rmtree(config.model_dir("blazeface"))
    (config.model_dir("emotion") / "serving_server" / "inference.pdmodel").unlink()
    findings = list(service.models(config, "all"))
    assert "blazeface" in of(findings, "Detection").found
    assert of(findings, "Detection").outcome.value == "fail"
    assert of(findings, "Attributes").outcome.value == "fail"
    assert "is missing" in of(findings, "Attributes").found


def test_a_gateway_alone_needs_no_detector(config):
    shutil.rmtree(config.model_dir("blazeface"))
    findings = list(service.models(config, "gateway"))
    assert {one.subject for one in findings} == {"ArcFace", "Liveness"}
    assert {one.outcome.value for one in findings} == {"pass"}


def test_a_recogniser_whose_scores_are_not_known_is_a_failure_where_a_gateway_needs_them(config):
    (directory,) = config.chosen_models("ArcFace")
    manifest = yaml.safe_load((directory / "model.yml").read_text())
    manifest["embedding"] = {"dim": manifest["embedding"]["dim"]}
    (directory / "model.yml").write_text(yaml.safe_dump(manifest))
    one = of(service.models(config, "all"), "ArcFace")
    assert one.outcome.value == "fail"
    assert f"convert {directory.name} --force" in one.found
    alone = with_changes(config, gateway__port=0)
    assert of(service.models(alone, "all"), "ArcFace").outcome.value == "pass"


def test_a_model_for_research_only_is_a_warning(config):
    (directory,) = config.chosen_models("ArcFace")
    manifest = yaml.safe_load((directory / "model.yml").read_text())
    for licence, outcome in (("MIT", "pass"), ("X, non-commercial research", "warning")):
        told = {**manifest, "licence": licence, "commercial": outcome == "pass"}
        # Manifests of earlier versions tell the name alone.
        by_name = {key: value for key, value in told.items() if key != "commercial"}
        for one in (told, by_name):
            (directory / "model.yml").write_text(yaml.safe_dump(one))
            assert service.licences(config).outcome.value == outcome


def with_changes(config, **changes):
    """The settings of another file, with these lines of sections changed."""
    document = yaml.safe_load(config.path.read_text())
    for key, value in changes.items():
        section, _, name = key.partition("__")
        document[section][name] = value
    config.path.write_text(yaml.safe_dump(document, sort_keys=False))
    return load_config(config.path)


@pytest.mark.parametrize(
    ("url", "mode", "outcome"),
    [("sqlite:///data/faces.db", 0o644, "pass"),
     ("postgresql://faces@db/faces", 0o644, "pass"),
     ("postgresql://faces:${FACES_PASSWORD}@db/faces", 0o644, "pass"),
     ("postgresql://faces:open-sesame@db/faces", 0o640, "pass"),
     ("postgresql://faces:open-sesame@db/faces", 0o644, "warning")],
)  # fmt: skip
def test_a_password_that_anybody_may_read_is_a_warning(config, url, mode, outcome, monkeypatch):
    monkeypatch.setenv("FACES_PASSWORD", "open-sesame")
    changed = with_changes(config, library__database=url)
    changed.path.chmod(mode)
    one = service.secrets(changed)
    assert one.outcome.value == outcome
    assert "sesame" not in one.found


def test_pipelines_on_other_machines_are_reached_or_not(config):
    (closed,) = unused_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as pipeline:
        there = f"127.0.0.1:{pipeline.getsockname()[1]}"
        away = f"127.0.0.1:{closed}"
        changed = with_changes(config, gateway__pipelines=[there, away, "no.such.host.invalid:1"])
        found = list(service.pipelines(changed))
    assert of(found, there).outcome is None
    assert of(found, there).value > 0
    assert of(found, away).outcome.value == "fail"
    assert "refused" in of(found, away).found
    assert of(found, "no.such.host.invalid:1").outcome.value == "fail"


def test_a_gateway_with_its_own_pipeline_has_none_to_reach(config):
    (one,) = service.pipelines(config)
    assert one.outcome.value == "not applicable"


class Answers(http.server.BaseHTTPRequestHandler):
    """A gateway's /health."""

    status, body = 200, b'{"status": "ok"}'

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def gateway(monkeypatch, tmp_path):
    """Starts a server that stands for a gateway with the settings; its needs."""
    servers = []

    def start(status: int, body: bytes) -> Needs:
        handler = type("Handler", (Answers,), {"status": status, "body": body})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        file = tmp_path / "config.yml"
        # What its processes are known by is their command line, which a test has not.
        monkeypatch.setattr("deploy.check.probes.sockets.Holder.settings", file)
        place = Place("gateway.port", "127.0.0.1", server.server_address[1])
        return Needs(config=file, places=(place,))

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_gateway_that_is_well_passes(gateway):
    assert service.health(MACHINE, gateway(200, b"{}")).outcome.value == "pass"


def test_a_gateway_that_lacks_something_says_what(gateway):
    body = b'{"status": "unavailable", "reasons": ["database_full: no room", "no pipeline"]}'
    one = service.health(MACHINE, gateway(503, body))
    assert one.outcome.value == "fail"
    assert one.found == "503: database_full: no room; no pipeline"


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"\xff"])
def test_an_answer_that_cannot_be_read_is_a_failure_all_the_same(gateway, body):
    assert service.health(MACHINE, gateway(500, body)).found == "500: without a reason"


def test_a_gateway_that_does_not_run_is_not_asked(tmp_path):
    needs = Needs(config=tmp_path / "config.yml", places=(Place("gateway.port", "127.0.0.1", 1),))
    assert service.health(MACHINE, needs).outcome.value == "not applicable"


def test_what_the_settings_need_is_told_by_their_role(config):
    both = of_settings("all", ROOT, config)
    pipeline = of_settings("pipeline", ROOT, config)
    alone = of_settings("gateway", ROOT, config)
    assert {place.key for place in both.places} == {"rpc_port", "http_port", "gateway.port"}
    assert {place.key for place in pipeline.places} == {"rpc_port", "http_port"}
    assert {place.key for place in alone.places} == {"gateway.port"}
    assert set(both.folders) == {"models", "logs", "data", "snapshots"}
    assert set(pipeline.folders) == {"models", "logs"}
    assert both.sqlite
    assert not pipeline.sqlite
    assert both.folders["data"] == Path(config.path.parent, "data")
    assert os.path.isabs(both.config)
