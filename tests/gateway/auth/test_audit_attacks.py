"""Attacks on the audit log: passing it by, writing what is not so, and washing it away."""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import suppress
from typing import Any

import httpx
import pytest

from gateway.auth.refusals import MOST_PLACES
from tests.support.gateway.alone import lines, raw_request
from tests.support.gateway.client import CLOUD, FACE, PRIVATE, App, new_app
from tests.support.service import wait_until

pytestmark = pytest.mark.attack

JSON = b"Content-Type: application/json\r\n"
# Refusals are summed by address: each test has some of its own.
_ADDRESSES = itertools.count(100)


@pytest.fixture
def log(access_service):
    """The lines of a file of the running gateway's logs."""

    def read(name="audit.log", **having):
        found = lines(access_service.directory / "PipelineServingLogs" / name)
        return [one for one in found if having.items() <= one.items()]

    return read


@pytest.fixture
def writer(access_service):
    """What a client with a key to write sends, byte by byte; its answer's error_code."""
    key, secret = access_service.new_key("write", new_app())

    def send(path: str, host: bytes, extra: bytes = b"", **parameters: Any) -> int:
        head = b"POST %s HTTP/1.1\r\nHost: %s\r\n" % (path.encode(), host)
        head += b"X-Api-Key: %s.%s\r\n" % (key.encode(), secret.encode())
        body = json.dumps(parameters).encode()
        answer = raw_request(access_service.gateway_port, head + extra + JSON, body)
        return int(json.loads(answer.partition(b"\r\n\r\n")[2])["error_code"])

    send.key = key
    return send


HOSTS = [
    b"[",
    b"[::1",
    b"]",
    b"",
    b"x/face-api/v3/face/detect?",
    b"x#",
    b"x?",
    b"\xff\xfe",
    b"a" * 20_000,
    b"x:99999999",
    b"x\tx",
    b"http://y/z",
]


@pytest.mark.parametrize("host", HOSTS, ids=range(len(HOSTS)))
def test_whatever_host_a_change_names_its_line_tells_of_it_by_its_true_path(writer, log, host):
    """Where such a request is refused before anything is done, there is nothing to tell."""
    group = f"by_{new_app()}"
    with suppress(ValueError):  # no answer of the API's
        writer(f"{PRIVATE}/group/add", host, group_id=group)
    told = [(one["event"], one["path"]) for one in log(group_id=group, key=writer.key)]
    was_made = writer(f"{PRIVATE}/group/delete", b"localhost", group_id=group) == 0
    path = f"{PRIVATE}/group/add"
    assert told == ([("begun", path), ("done", path)] if was_made else [])


def test_a_path_with_a_line_break_is_told_as_the_operation_that_it_is(writer, log):
    group = f"by_{new_app()}"
    answered = writer(f"{PRIVATE}/group/add%0A", b"localhost", group_id=group)
    told = log(group_id=group)
    assert (len(told) == 2) == (answered == 0)
    assert all(one["path"] == f"{PRIVATE}/group/add" for one in told)


CHANGES = [
    ("group/add", {"group_id": "g2"}),
    ("face/add", {"image": FACE, "image_type": "BASE64", "group_id": "g", "user_id": "u"}),
    ("face/update", {"image": FACE, "image_type": "BASE64", "group_id": "g", "user_id": "u"}),
    ("user/copy", {"user_id": "u", "src_group_id": "g", "dst_group_id": "g2"}),
    ("user/delete", {"group_id": "g2", "user_id": "u"}),
    ("face/delete", {"group_id": "g", "user_id": "u"}),
    ("group/delete", {"group_id": "g"}),
]


def test_the_line_of_a_change_is_in_the_file_when_the_change_is_answered(access_service, log):
    name = new_app()
    app = access_service.client("write", name)
    app.result("group/add", group_id="g")
    for path, parameters in CHANGES:
        if path == "face/delete":
            parameters = {**parameters, "face_token": app.tokens("g", "u")[0]}
        app.result(path, **parameters)
        told = log(app=name, path=f"{PRIVATE}/{path}")
        assert [(one["event"], one["error_code"]) for one in told][-2:] == [
            ("begun", None),
            ("done", 0),
        ], path
        assert told[-1]["log_id"] == told[-2]["log_id"]


def test_a_change_that_fails_is_told_with_its_error(access_service, log):
    name = new_app()
    app = access_service.client("write", name)
    app.result("group/add", group_id="g")
    assert app.code("group/add", group_id="g") == 223101
    assert log(app=name)[-1]["error_code"] == 223101


def test_a_client_that_hangs_up_has_its_change_told_all_the_same(access_service, log):
    name = new_app()
    app = access_service.client("write", name)
    app.result("group/add", group_id="g")
    sent = {"image": FACE, "image_type": "BASE64", "group_id": "g", "user_id": "gone"}
    with pytest.raises(httpx.TimeoutException):
        app.client.post(f"{PRIVATE}/face/add", json=sent, timeout=httpx.Timeout(60, read=0.001))
    assert wait_until(lambda: log(app=name, user_id="gone", event="done"), 30)
    assert app.users("g") == ["gone"]


def test_what_looks_like_a_line_of_the_log_is_no_id(access_service, log):
    name = new_app()
    app = access_service.client("write", name)
    for sent in ('g"}\n{"time": "forged', "g\r\n", "g\u2028", "\x1b[2Jg", "a" * 100_000):
        assert app.code("group/add", group_id=sent) != 0
    files = (access_service.directory / "PipelineServingLogs").glob("*.log")
    text = "\n".join(file.read_text() for file in files if file.name != "pipeline.log")
    assert not any(sign in text for sign in ("\x1b", "\u2028", "forged", "a" * 1000))


def test_refusals_without_a_key_wash_nothing_away(access_service, log):
    """Summed: a line for the first of a kind, and one for all others within a minute."""
    name = new_app()
    access_service.client("write", name).result("group/add", group_id="kept")
    folder = access_service.directory / "PipelineServingLogs"
    before = (folder / "audit.log").stat().st_size
    address = f"127.0.0.{next(_ADDRESSES)}"
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(
        base_url=access_service.gateway_url, transport=transport, timeout=60
    ) as stranger:
        for number in range(500):
            path = f"{PRIVATE}/group/delete?x={number}"
            sent = stranger.post(path, json={"appid": f"a{number}"}, timeout=60)
            assert sent.json()["error_code"] == 110
    assert (folder / "audit.log").stat().st_size == before
    mine = log("refusals.log", address=address)
    assert len(mine) <= 10, "two a minute, however slow the machine is"
    assert (mine[0]["event"], mine[0]["error_code"], mine[0]["count"]) == ("refused", 110, 1)
    assert mine[0]["path"] == f"{PRIVATE}/group/delete"
    assert log(app=name, group_id="kept", event="done")


def test_one_address_takes_few_lines_whatever_it_tries(access_service, log):
    address = f"127.0.0.{next(_ADDRESSES)}"
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(
        base_url=access_service.gateway_url, transport=transport, timeout=60
    ) as stranger:
        for path, start in itertools.product([*CHANGES, ("face/list", {})], (PRIVATE, CLOUD)):
            stranger.post(f"{start}/{path[0]}", timeout=60)
        for path in ("face/detect", "face/match", "user/get", "user/list", "group/list"):
            stranger.post(f"{PRIVATE}/{path}", timeout=60)
    places = {one["path"] for one in log("refusals.log", address=address)}
    assert 1 < len(places) <= MOST_PLACES + 1


FORWARDED = ["203.0.113.9" + "9" * 50_000, "x\x7fy", "fe80::1%" + "a" * 9000]


@pytest.mark.parametrize("forwarded", FORWARDED, ids=["long", "strange", "scope"])
def test_an_address_that_is_none_is_not_written_down(access_service, log, forwarded):
    name = new_app()
    app = access_service.client("write", name)
    headers = {"X-Forwarded-For": forwarded}
    app.client.post(f"{PRIVATE}/group/add", json={"group_id": "g"}, headers=headers)
    httpx.get(f"{access_service.gateway_url}{PRIVATE}/app/list", headers=headers, timeout=60)
    told = [*log(app=name), *log("refusals.log")]
    assert told
    assert all(len(one["address"]) <= 45 and "%" not in one["address"] for one in told)


def test_every_one_of_many_changes_at_once_has_its_lines(access_service, log):
    name = new_app()
    apps = [access_service.client("write", name) for _ in range(4)]
    missing: list[str] = []

    def work(app: App, number: int) -> None:
        for again in range(20):
            group = f"g_{number}_{again}"
            app.result("group/add", group_id=group)
            if len(log(app=name, group_id=group)) != 2:
                missing.append(group)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(apps, range(4))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not missing
    assert len(log(app=name)) == 160
