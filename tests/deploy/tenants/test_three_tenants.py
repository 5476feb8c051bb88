"""Three tenants of this machine, each by the real service, started once for all of these tests."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess

import httpx
import numpy as np
import psutil
import pytest

from deploy.tenants.render.all_files import rendered, write
from runtime.ports import unused_ports
from tests.support import pictures
from tests.support.nginx import Nginx, make_certificate
from tests.support.service import wait_until
from tests.support.tenants import Tenants

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(600)]

NAMES = ("attendance", "access", "visitors")
FACE = pictures.base64_of(pictures.encode(pictures.astronaut()))
INVALID_KEY = 110


@pytest.fixture(scope="module")
def three(models, tmp_path_factory):
    cores = sorted(os.sched_getaffinity(0))
    shared = {"cores": str(cores[0]), "shared_cores": True}
    own = {"cores": str(cores[-1])} if len(cores) > 1 else shared
    made = Tenants(
        tmp_path_factory.mktemp("three"), NAMES, attendance=shared, access=shared, visitors=own
    )
    try:
        made.done("up")
        yield made
        made.run("down")
    finally:
        made.close()


def enrol(three, name, user):
    answer = three.ask(
        name, "face/add", image=FACE, image_type="BASE64", group_id="all", user_id=user
    )
    # A face that an earlier test has enrolled is no other.
    assert answer["error_code"] in (0, 223105), answer


def users(three, name):
    answer = three.ask(name, "group/getusers", group_id="all")
    return answer["result"]["user_id_list"] if answer["error_code"] == 0 else []


def all_ready(three):
    return all(three.state(name).state == "ready" for name in NAMES)


def test_each_has_its_own_processes_on_its_cores_within_its_limits(three):
    status = three.done("status")
    assert all(name in status for name in NAMES)
    pids = {name: {one.pid for one in three.processes(name)} for name in NAMES}
    assert not pids["attendance"] & pids["access"] | pids["access"] & pids["visitors"]
    for name in NAMES:
        tenant = three.file.tenant(name)
        service = psutil.Process(three.state(name).pid)
        for one in (service, *service.children(recursive=True)):
            assert os.sched_getaffinity(one.pid) == set(tenant.core_numbers)
        assert 0 < three.state(name).memory < tenant.memory_bytes


def test_each_has_its_own_people_data_and_logs(three):
    enrol(three, "attendance", "eileen")
    assert users(three, "attendance") == ["eileen"]
    assert users(three, "access") == users(three, "visitors") == []
    for name in NAMES:
        tenant = three.file.tenant(name)
        assert (tenant.data / "faces.db").is_file()
        assert (tenant.log / "PipelineServingLogs" / "pipeline.log").is_file()
        assert "ready: " in three.done("logs", name)
    audits = {
        name: (three.file.tenant(name).log / "PipelineServingLogs" / "audit.log") for name in NAMES
    }
    assert "face/add" in audits["attendance"].read_text()
    assert not audits["access"].exists() or "face/add" not in audits["access"].read_text()


def test_a_key_of_one_opens_nothing_in_another(three):
    for name in NAMES:
        assert three.ask(name, "app/list")["error_code"] == 0
        for other in set(NAMES) - {name}:
            answer = three.ask(other, "app/list", key=three.key(name))
            assert answer["error_code"] == INVALID_KEY
            headers = {"X-Api-Key": three.key(name)}
            assert httpx.get(f"{three.url(other)}/metrics", headers=headers).status_code == 401
        assert os.stat(three.file.tenant(name).keys).st_mode & 0o077 == 0


def test_nginx_serves_them_over_tls_below_their_names(three):
    certificate, key = make_certificate(three.folder)
    port = unused_ports(1)[0]
    three.write(proxy={"port": port, "certificate": str(certificate), "certificate_key": str(key)})
    out = three.folder / "out"
    write(rendered(three.file, out), out)
    nginx = Nginx(three.folder / "nginx", out / "nginx" / "face-tenants.conf", port)
    sent = pictures.encode(pictures.astronaut())
    grey = pictures.encode(np.full((200, 200, 3), 90, np.uint8))
    context = ssl.create_default_context(cafile=str(certificate))
    try:
        with httpx.Client(base_url=f"https://localhost:{port}", verify=context, timeout=60) as one:
            for name in ("attendance", "access"):
                headers = {"X-Api-Key": three.key(name)}
                form = {"image1": sent, "image2": sent}
                answer = one.post(f"/{name}/compare", files=form, headers=headers)
                assert answer.status_code == 200, answer.text
                assert answer.json()["is_same_person"] is True
                form = {"image1": sent, "image2": grey}
                assert one.post(f"/{name}/compare", files=form, headers=headers).is_error
                assert one.post(f"/{name}/compare", files=form).status_code == 401
                assert one.get(f"/{name}/health").json()["status"] == "ok"
            other = {"X-Api-Key": three.key("attendance")}
            assert one.post("/access/compare", files=form, headers=other).status_code == 401
    finally:
        nginx.close()


def test_prometheus_tells_them_apart_by_their_label(three):
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed")
    out = three.folder / "out"
    write(rendered(three.file, out), out)
    port = unused_ports(1)[0]
    config = (out / "prometheus" / "prometheus.yml").read_text().replace("15s", "1s")
    (out / "prometheus" / "quick.yml").write_text(config)
    process = subprocess.Popen(
        ["prometheus", f"--config.file={out}/prometheus/quick.yml",
         f"--storage.tsdb.path={three.folder}/tsdb", f"--web.listen-address=127.0.0.1:{port}"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    query = {"query": "sum by (tenant) (up{job='face-gateway'})"}
    found: dict[str, str] = {}

    def scraped() -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/query", params=query).json()
        except (httpx.HTTPError, ValueError):
            return False
        for series in answer["data"]["result"]:
            found[series["metric"]["tenant"]] = series["value"][1]
        return found == dict.fromkeys(NAMES, "1")

    try:
        assert wait_until(scraped, 60), found
    finally:
        process.terminate()
        process.wait(30)


def test_up_leaves_alone_what_runs(three):
    before = [three.state(name).pid for name in NAMES]
    assert three.done("up").count("runs already") == 3
    assert [three.state(name).pid for name in NAMES] == before


def test_one_that_is_killed_is_back_and_the_others_go_on(three):
    others = [three.state(name).pid for name in ("attendance", "visitors")]
    killed, restarts = three.state("access").pid, three.state("access").restarts
    psutil.Process(killed).kill()
    assert wait_until(lambda: three.state("access").restarts == restarts + 1, 60)
    assert wait_until(lambda: all_ready(three), 120), three.said()
    assert three.ask("access", "app/list")["error_code"] == 0
    assert [three.state(name).pid for name in ("attendance", "visitors")] == others


def test_one_that_takes_more_than_its_memory_is_restarted_alone(three):
    others = [three.state(name).pid for name in ("attendance", "visitors")]
    before = three.keeper("access")
    # Less than the service takes.
    three.change("access", memory="256MiB")
    three.run("restart", "access", "--wait", "0")
    assert three.keeper("access") != before
    assert wait_until(lambda: three.state("access").restarts > 0, 200), three.state("access")
    assert three.state("access").reason == "took more than its memory of 256 MiB"
    assert [three.state(name).pid for name in ("attendance", "visitors")] == others
    assert three.ask("attendance", "app/list")["error_code"] == 0
    # What the file says now is taken at the next start.
    three.change("access", memory="2GiB")


def test_after_the_death_of_all_processes_one_command_brings_everything_back(three):
    for name in ("attendance", "visitors"):
        enrol(three, name, f"{name}_1")
    three.kill_everything()
    status, output = three.run("status")
    assert status == 1
    assert output.count("killed") == 3
    three.done("up")
    for name in ("attendance", "visitors"):
        found = three.ask(
            name, "face/identify", image=FACE, image_type="BASE64", group_id_list="all"
        )
        assert found["result"]["user_list"][0]["score"] > 99
        assert users(three, name)


def test_down_ends_them_and_status_says_so(three):
    output = three.done("down")
    assert output.count("ended") == 3
    status, output = three.run("status", "--json")
    assert status == 1
    assert output.count('"state": "down"') == 3
    assert not any(three.processes(name) for name in NAMES)
