"""The gateway when things end under it: the pipeline, the database, the service itself."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
import pytest

from tests.support.gateway.client import FACE, PICTURE, PRIVATE, App, document, new_app, version
from tests.support.libraries.databases import PostgreSql, Server
from tests.support.pictures import crowd
from tests.support.service import Service, wait_until

# What a request may be answered with while the pipeline is away: "system busy", "too many".
BUSY = {222901, 18}
DATABASE_AWAY = 222910


def health(service: Service) -> httpx.Response:
    return httpx.get(f"{service.gateway_url}/health", timeout=30)


def gateway_process(service: Service) -> psutil.Process:
    return next(p for p in service.processes() if "gateway.server" in " ".join(p.cmdline()))


def on(database: str) -> Callable[[dict[str, Any]], None]:
    """Settings that keep the library in a database."""
    return lambda settings: settings["library"].update(database=database)


class Enrolling:
    """Clients that enrol one user after the other until they are told to stop."""

    def __init__(self, app: App, clients: int) -> None:
        self.app = app
        self.acknowledged: list[str] = []
        self.codes: set[int] = set()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self._runs = [self._pool.submit(self._run, number) for number in range(clients)]

    def _run(self, number: int) -> None:
        client = App(self.app.url, self.app.name)
        for turn in range(10_000):
            if self._stop.is_set():
                return
            user = f"u{number}_{turn}"
            picture = {**PICTURE, "image": version(user)}
            code = client.code("face/add", **picture, group_id="staff", user_id=user)
            self.codes.add(code)
            if code == 0:
                self.acknowledged.append(user)

    def stop(self) -> None:
        """End them; raises what one of them has met."""
        self._stop.set()
        for run in self._runs:
            run.result()


def test_a_killed_pipeline_comes_back_and_nothing_acknowledged_is_lost(make_service):
    service = make_service(gateway=True)
    app = App(service.gateway_url, new_app())
    app.result("group/add", group_id="staff")
    enrolling = Enrolling(app, 4)
    assert wait_until(lambda: len(enrolling.acknowledged) >= 20, 60)
    pipeline = service.pipeline()
    pipeline.send_signal(signal.SIGKILL)
    pipeline.wait(10)

    # What needs no picture is answered meanwhile.
    assert "staff" in app.groups()
    before = len(enrolling.acknowledged)
    assert wait_until(lambda: len(enrolling.acknowledged) >= before + 20, 90)
    enrolling.stop()
    assert enrolling.codes <= {0, *BUSY}
    assert service.process.poll() is None, "the service went on"
    assert service.pipeline().pid != pipeline.pid
    assert wait_until(lambda: health(service).status_code == 200, 30)

    users = app.result("user/list", group_id="staff", length=1000)["user_id_list"]
    assert set(enrolling.acknowledged) <= set(users)
    for user in enrolling.acknowledged[-5:]:
        found = app.result("face/identify", **PICTURE, group_id_list="staff", user_id=user)
        assert found["user_list"][0]["user_id"] == user
    assert service.stop() == 0


def test_while_the_pipeline_is_away_nobody_waits_for_ever(make_service):
    def change(settings):
        settings["gateway"]["request_timeout_ms"] = 3000

    service = make_service(change, gateway=True)
    app = App(service.gateway_url, new_app())
    app.result("group/add", group_id="staff")
    pipeline = service.pipeline()
    # It hangs: it neither answers nor hangs up.
    pipeline.send_signal(signal.SIGSTOP)
    try:
        assert app.code("face/detect", **PICTURE) in BUSY
        answer = health(service)
        assert answer.status_code == 503
        assert answer.json()["status"] != "ok"
        files = dict.fromkeys(("image1", "image2"), b"\xff\xd8")
        compared = httpx.post(f"{service.gateway_url}/compare", files=files, timeout=30)
        assert compared.status_code in (503, 504)
        assert app.groups() == ["staff"]
    finally:
        pipeline.send_signal(signal.SIGCONT)
    assert wait_until(lambda: app.code("face/detect", **PICTURE) == 0, 30)
    assert wait_until(lambda: health(service).status_code == 200, 30)


def test_a_killed_gateway_comes_back_and_knows_whom_it_knew(make_service):
    service = make_service(gateway=True)
    app = App(service.gateway_url, new_app())
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE)
    (token,) = app.tokens("staff", "eileen")
    gateway_process(service).kill()

    def answers() -> bool:
        try:
            return health(service).status_code == 200
        except httpx.TransportError:
            return False

    assert wait_until(answers, 60)
    assert app.users("staff") == ["eileen"]
    found = app.result("face/identify", image=token, image_type="FACE_TOKEN", group_id_list="staff")
    assert found["user_list"][0]["user_id"] == "eileen"


@pytest.fixture
def own_database() -> Iterator[Server]:
    """A PostgreSQL server of this test, which it may stop."""
    server = PostgreSql()
    yield server
    server.remove()


def test_without_its_database_the_gateway_says_so_and_goes_on_when_it_is_back(
    make_service, own_database
):
    url = own_database.new_database()
    service = make_service(on(url), gateway=True)
    app = App(service.gateway_url, new_app())
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", FACE)
    own_database.stop()
    search = {**PICTURE, "group_id_list": "staff"}
    assert app.code("user/list", group_id="staff") == DATABASE_AWAY
    assert app.code("group/add", group_id="more") == DATABASE_AWAY
    assert app.code("face/add", **PICTURE, group_id="staff", user_id="b") == DATABASE_AWAY
    assert app.code("face/identify", **search) == DATABASE_AWAY
    assert app.code("face/detect", **PICTURE) == 0
    answer = health(service)
    assert answer.status_code == 503
    assert "postgresql://" not in answer.text
    own_database.start()
    assert wait_until(lambda: app.code("face/identify", **search) == 0, 60)
    assert app.users("staff") == ["eileen"]
    app.enrol("staff", "b", version("b"))
    assert app.users("staff") == ["eileen", "b"]
    assert wait_until(lambda: health(service).status_code == 200, 30)


def test_a_service_that_starts_before_its_database_is_ready_later(make_service, own_database):
    url = own_database.new_database()
    own_database.stop()
    service = make_service(on(url), gateway=True)
    app = App(service.gateway_url, new_app())
    assert app.code("group/list") == DATABASE_AWAY
    own_database.start()
    assert wait_until(lambda: app.code("group/add", group_id="staff") == 0, 60)


def test_requests_under_way_are_answered_when_the_service_is_told_to_stop(make_service):
    service = make_service(gateway=True)
    app = App(service.gateway_url, new_app())
    image = crowd(4, 4)

    def ask(_: int) -> int:
        client = App(service.gateway_url, app.name)
        found = client.result("face/detect", image=image, image_type="BASE64", max_face_num=60)
        return int(found["face_num"])

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, number) for number in range(8)]
        # The first is answered, so that the others have arrived.
        assert wait_until(lambda: any(answer.done() for answer in answers), 60)
        service.process.send_signal(signal.SIGTERM)
        assert all(answer.result() > 10 for answer in answers)
    assert service.wait(60) == 0


REQUESTS = 10_000
AT_ONCE = 32


async def _ask_often(host: str, port: int, app: str, count: int) -> list[bytes]:
    """The last lines of `count` answers over one connection."""
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET {PRIVATE}/app/list?appid={app} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
    answers = []
    for _ in range(count):
        writer.write(request)
        headers = await reader.readuntil(b"\r\n\r\n")
        assert headers.startswith(b"HTTP/1.1 200"), headers
        fields = headers.lower().split(b"\r\n")
        length = next(int(f.split(b":")[1]) for f in fields if f.startswith(b"content-length:"))
        answers.append(await reader.readexactly(length))
    writer.close()
    return answers


def test_ten_thousand_requests_leave_no_connection_or_file_open(service, app):
    app.result("group/add", group_id="staff")
    address = httpx.URL(service.gateway_url)
    process = gateway_process(service)

    async def ask(each: int) -> list[bytes]:
        runs = [_ask_often(address.host, address.port, app.name, each) for _ in range(AT_ONCE)]
        return [answer for run in await asyncio.gather(*runs) for answer in run]

    asyncio.run(ask(10))
    before = process.num_fds()
    answers = asyncio.run(ask(REQUESTS // AT_ONCE + 1))
    assert len(answers) >= REQUESTS
    assert all(b'"error_code":0' in answer and app.name.encode() in answer for answer in answers)
    # Threads of the library may have opened connections of their own, at most eight.
    assert wait_until(lambda: process.num_fds() < before + AT_ONCE, 30)


def test_more_requests_than_are_allowed_at_once_are_told_so(make_service):
    def change(settings):
        settings["gateway"]["requests"] = 4

    service = make_service(change, gateway=True)
    clients = [App(service.gateway_url, "any") for _ in range(12)]

    def ask(client: App) -> int:
        return client.code("face/detect", image=image, image_type="BASE64", max_face_num=4)

    image = crowd(2)
    with ThreadPoolExecutor(len(clients)) as pool:
        codes = list(pool.map(ask, clients))
    assert set(codes) == {0, 18}
    assert (
        document(httpx.get(f"{service.gateway_url}{PRIVATE}/app/list", timeout=60))["error_code"]
        == 0
    )
