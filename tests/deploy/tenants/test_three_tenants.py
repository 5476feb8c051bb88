"""The walk through docs/operating.md, and what holds of the three tenants that it leaves running.

Its commands are typed as they stand there, in a clone of their own; the last chapter's, which put
everything away, at the end.
"""

from __future__ import annotations

import os
import ssl

import httpx
import numpy as np
import psutil
import pytest
import yaml

from deploy.tenants.first_file import PORTS_OF_EACH
from deploy.tenants.render.all_files import rendered, write
from runtime.ports import neighbouring_ports, unused_ports
from tests.support import pictures
from tests.support.nginx import Nginx, make_certificate
from tests.support.service import ROOT, wait_until
from tests.support.tenants import Tenants
from tests.support.texts import Text
from tests.support.walk import Walk, chapters, fresh_clone

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(1800)]

NAMES = ("attendance", "access", "visitors")
TEXT = Text("docs/operating.md")
CHAPTERS = chapters(TEXT, "A day, from a clone to a restored backup")
PROMETHEUS = ("prometheus", "promtool")
FACE = pictures.base64_of(pictures.encode(pictures.astronaut()))
INVALID_KEY = 110


@pytest.fixture(scope="module")
def day(models, tmp_path_factory):
    """The walk to its last chapter but one; and where its Prometheus listens."""
    clone = fresh_clone(tmp_path_factory.mktemp("day") / "clone")
    ports = {
        "FIRST_PORT": neighbouring_ports(PORTS_OF_EACH * len(NAMES))[0],
        "PROMETHEUS_PORT": unused_ports(1)[0],
    }
    walk = Walk(clone, {name: str(port) for name, port in ports.items()}, PROMETHEUS)
    three = Tenants(clone / "tenants.yml", clone)
    try:
        for chapter in CHAPTERS[:-1]:
            walk.follow(chapter)
        yield walk, three, f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
    finally:
        three.close()
        walk.close()


@pytest.fixture(scope="module")
def three(day):
    """The tenants of the walk."""
    return day[1]


def users(three, name):
    answer = three.ask(name, "group/getusers", group_id="all")
    return answer["result"]["user_id_list"] if answer["error_code"] == 0 else []


def all_ready(three):
    return all(three.state(name).state == "ready" for name in NAMES)


def test_the_walk_ends_with_three_tenants_that_serve_and_a_check_that_passes(day):
    walk, three, _ = day
    assert tuple(three.names) == NAMES
    assert all_ready(three)
    checks = [one for one in walk.typed if " deploy check " in one.line]
    assert [one.status for one in checks[-1:]] == [0]


def test_the_walk_brings_back_from_its_backup_whom_it_has_deleted(day):
    _, three, _ = day
    audit = three.file.tenant("attendance").log / "PipelineServingLogs" / "audit.log"
    assert "user/delete" in audit.read_text()
    assert users(three, "attendance")
    for name in NAMES:
        assert [*three.file.tenant(name).backups.glob("*.db")]


def test_the_walk_has_prometheus_scrape_all_three_by_the_projects_rules(day):
    walk, _, prometheus = day
    if walk.left_out:
        pytest.skip("; ".join(walk.left_out))
    query = {"query": "sum by (tenant) (up{job='face-gateway'})"}
    found: dict[str, str] = {}

    def scraped() -> bool:
        answer = httpx.get(f"{prometheus}/api/v1/query", params=query).json()
        for series in answer["data"]["result"]:
            found[series["metric"]["tenant"]] = series["value"][1]
        return found == dict.fromkeys(NAMES, "1")

    assert wait_until(scraped, 60), found
    groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    files = (ROOT / "deploy" / "monitoring" / "rules").glob("*.yml")
    written = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert {group["name"] for group in groups} == {group["name"] for group in written}


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
    assert users(three, "attendance")
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


def test_the_last_chapter_puts_everything_away(day):
    walk, three, _ = day
    walk.follow(CHAPTERS[-1])
    status, output = three.run("status", "--json")
    assert status == 1
    assert output.count('"state": "down"') == 3
    assert not any(three.processes(name) for name in NAMES)
