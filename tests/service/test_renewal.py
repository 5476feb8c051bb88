"""Changed settings taken over by a service that goes on answering, and what systemd is told."""

from __future__ import annotations

import shutil
import signal
import socket
import threading

import httpx
import pytest
import yaml

from deploy.__main__ import main
from runtime.service_state import read_state
from tests.support.pictures import ONE
from tests.support.service import ROOT, Service, document, wait_until

SOON_S = 150


class Systemd:
    """What stands in for systemd: its socket, read all the time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            self.said.append(self._socket.recv(4096).decode())


@pytest.fixture(scope="module")
def systemd(tmp_path_factory):
    return Systemd(str(tmp_path_factory.mktemp("systemd") / "notify"))


def smaller(settings) -> None:
    """Two replicas with the models that they cannot do without, so that they come up quickly."""
    settings["replicas"] = 2
    for name in ("Attributes", "Liveness"):
        del settings["op"][name]
    settings["op"]["Response"]["inputs"] = ["ArcFace"]
    for stage in settings["op"].values():
        stage["concurrency"] = 1


@pytest.fixture(scope="module")
def running(models, tmp_path_factory, systemd):
    """Two replicas and a gateway, and what they have told systemd."""
    folder = tmp_path_factory.mktemp("renewal")
    one = Service(folder, smaller, gateway=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", systemd.path)
        patch.setenv("WATCHDOG_USEC", "2000000")
        one.start()
    yield one
    one.kill()


def state(service: Service):
    return read_state(service.directory / "PipelineServingLogs" / "service.json")


def change(service: Service, **settings) -> None:
    content = yaml.safe_load(service.config.read_text())
    for key, value in settings.items():
        section, _, name = key.rpartition("__")
        (content[section] if section else content)[name] = value
    service.config.write_text(yaml.safe_dump(content))


def renewed(service: Service, capsys) -> str:
    """Have the settings taken over; what went wrong."""
    capsys.readouterr()
    status = main(["reload", "--config", str(service.config), "--timeout", str(SOON_S)])
    problem = capsys.readouterr().err
    assert (status == 0) == (not problem)
    return problem


class Load:
    """Clients that ask over and over, each on a connection of its own every time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop = threading.Event()
        self.answers, self.failures = 0, []
        self._threads = [
            threading.Thread(target=self._ask_on, args=(ask,)) for ask in (self._http, self._rest)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self, ask) -> None:
        while not self._stop.wait(0.05):
            try:
                with httpx.Client(timeout=60, trust_env=False) as client:
                    ask(client)
                self.answers += 1
            except (httpx.HTTPError, AssertionError) as error:
                self.failures.append(repr(error))

    def _http(self, client: httpx.Client) -> None:
        answer = client.post(self._service.url, json={"key": ["image"], "value": [ONE]})
        assert (answer.status_code, answer.json()["err_no"]) == (200, 0), answer.text[:200]

    def _rest(self, client: httpx.Client) -> None:
        url = f"{self._service.gateway_url}/face-api/v3/face/detect"
        answer = client.post(url, json={"image": ONE, "image_type": "BASE64"})
        assert answer.json()["error_code"] == 0, answer.text[:200]


def test_systemd_is_told_when_the_service_is_ready_and_fed_while_it_is_well(running, systemd):
    said = systemd.said
    assert wait_until(lambda: "WATCHDOG=1" in said, SOON_S)
    ready = said.index("READY=1")
    assert said[0] == "STATUS=The service is being started."
    assert ready < said.index("WATCHDOG=1")
    assert any(one.startswith("STATUS=Ready: HTTP http://127.0.0.1:") for one in said)
    assert state(running).is_alive
    # Nothing of it is the children's.
    assert not any("NOTIFY_SOCKET" in p.environ() for p in running.processes()[1:])


def test_another_model_is_taken_over_replica_by_replica_and_no_request_fails(
    running, systemd, models, tmp_path_factory, capsys
):
    old = {p.pid for p in running.processes()}
    before = document(running.post(ONE))["models"]["Detection"]
    other = tmp_path_factory.mktemp("models") / "newer"
    shutil.copytree(models / before, other)
    manifest = (other / "model.yml").read_text()
    (other / "model.yml").write_text(manifest.replace(f"name: {before}", "name: newer"))
    seen = len(systemd.said)
    content = yaml.safe_load(running.config.read_text())
    content["op"]["Detection"]["model"] = str(other)
    # Something for the gateway, too.
    content["gateway"]["threads"] = 4
    running.config.write_text(yaml.safe_dump(content))
    with Load(running) as load:
        assert wait_until(lambda: load.answers > 4, SOON_S)
        assert renewed(running, capsys) == ""
        answered = load.answers
        assert wait_until(lambda: load.answers > answered + 4, SOON_S)
    assert load.failures == []
    assert document(running.post(ONE))["models"]["Detection"] == "newer"
    now = {p.pid for p in running.processes()}
    assert now & old == {running.process.pid}
    said = systemd.said[seen:]
    assert wait_until(lambda: "READY=1" in systemd.said[seen:], SOON_S)
    assert any(one.startswith("RELOADING=1\nMONOTONIC_USEC=") for one in said)
    assert any("a new pipeline 1 is being started" in one for one in said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replicas": 3}, "replicas: changed; that needs the service to be ended"),
        ({"gateway__port": 1}, "gateway.port: changed"),
        ({"cores": "many"}, "cores: 'many' is not allowed"),
    ],
)
def test_settings_that_cannot_be_taken_over_change_nothing_and_are_told(
    running, changes, said, capsys
):
    content = running.config.read_text()
    processes = {p.pid for p in running.processes()}
    change(running, **changes)
    try:
        # Asked for by the signal, the service says it; the command says it before it asks.
        running.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: any(said in line for line in running.output), SOON_S)
        assert said in renewed(running, capsys)
    finally:
        running.config.write_text(content)
    assert processes <= {p.pid for p in running.processes()}
    assert document(running.post(ONE))["images"][0]["faces"]


def test_a_replica_that_does_not_come_up_leaves_the_old_ones_at_work(running, tmp_path, capsys):
    content = running.config.read_text()
    old = {p.pid for p in running.processes()}
    # Intact by its manifest, but no model.
    broken = tmp_path / "broken"
    (broken / "serving_server").mkdir(parents=True)
    settings = yaml.safe_load(content)
    manifest = running.config.parent / settings["models_dir"] / "blazeface" / "model.yml"
    (broken / "model.yml").write_text(manifest.read_text())
    settings["op"]["Detection"]["model"] = str(broken)
    running.config.write_text(yaml.safe_dump(settings))
    try:
        assert "the old one goes on" in renewed(running, capsys)
    finally:
        running.config.write_text(content)
    assert old <= {p.pid for p in running.processes()}
    assert document(running.post(ONE))["images"][0]["faces"]


def test_an_end_in_the_middle_of_a_renewal_leaves_nobody_behind(running, systemd):
    running.process.send_signal(signal.SIGHUP)
    assert wait_until(lambda: len(running.processes()) > 4, SOON_S)
    processes = running.processes()
    assert running.stop() == 0
    assert wait_until(lambda: not any(p.is_running() for p in processes), 30)
    assert wait_until(lambda: "STOPPING=1" in systemd.said, 30)
    assert state(running) is None


def test_without_a_running_service_a_reload_says_so(tmp_path, capsys):
    config = tmp_path / "config.yml"
    config.write_text((ROOT / "config.yml").read_text())
    assert main(["reload", "--config", str(config)]) == 1
    assert "no service runs with these settings" in capsys.readouterr().err
