"""Bodies that never come: they hold no place that others need."""

from __future__ import annotations

import contextlib
import json
import socket

import httpx
import pytest

from bench.attacks.bodies import FORM, JSON, head_of, stalled_uploads
from tests.support.gateway.client import DETECT, PICTURE, App, new_app
from tests.support.gateway.guarded_service import REQUEST_BYTES
from tests.support.service import Service, body, wait_until

pytestmark = pytest.mark.attack

# Less than the 30 s in which a body is given up in any case.
SOON_S = 20.0


@pytest.fixture
def other(access_service: Service) -> App:
    """An app that has nothing to do with who attacks."""
    return access_service.client("write", new_app())


def gateway_at(service: Service) -> tuple[str, int]:
    return "127.0.0.1", service.gateway_port


def answers(client: socket.socket) -> str:
    """What has been answered so far, "" for nothing."""
    client.settimeout(0.01)
    with contextlib.suppress(OSError):
        return client.recv(65536).decode()
    return ""


def test_uploads_that_stall_take_no_place_of_another_key(access_service, other):
    id_, secret = access_service.new_key("read")
    head = head_of(DETECT, f"x-api-key: {id_}.{secret}", f"content-type: {JSON}")
    # A key may have half of the places for uploads while nobody else wants them.
    with stalled_uploads(gateway_at(access_service), 530, head, b"{", 1000) as stalled:
        assert wait_until(lambda: "error_code" in answers(stalled[-1]), SOON_S), "over its share"
        assert other.code("face/detect", **PICTURE) == 0
        assert other.code("group/add", group_id="staff") == 0
        own = App(access_service.gateway_url, "", headers={"x-api-key": f"{id_}.{secret}"})
        assert wait_until(lambda: own.code("face/detect", **PICTURE) == 0, SOON_S)


def test_who_is_over_its_share_is_told_so_in_the_usual_form(access_service, other):
    id_, secret = access_service.new_key("read")
    head = head_of(DETECT, f"x-api-key: {id_}.{secret}", f"content-type: {JSON}")
    start = b'{"image": "' + b"A" * (REQUEST_BYTES - 100_000)
    with stalled_uploads(gateway_at(access_service), 66, head, start, REQUEST_BYTES) as stalled:
        said: list[str] = []
        assert wait_until(lambda: said.extend(map(answers, stalled)) or any(said), SOON_S)
        assert any("HTTP/1.1 200" in one and '"error_code":18' in one for one in said)
        assert other.code("face/detect", image="A" * 3_000_000, image_type="BASE64") == 222203


def test_forms_that_stall_at_the_door_keep_nobody_out(access_service, other):
    head = head_of("/oauth/2.0/token", f"content-type: {FORM}")
    with stalled_uploads(gateway_at(access_service), 300, head, b"a", 1000):
        assert other.code("face/detect", **PICTURE) == 0
        token = httpx.post(f"{access_service.gateway_url}/oauth/2.0/token", timeout=30)
        assert token.status_code == 400


def test_without_keys_bodies_that_do_not_get_on_make_room(service):
    app = App(service.gateway_url, new_app())
    head = head_of(DETECT, f"content-type: {JSON}")
    start = b'{"image": "' + b"A" * 33_400_000
    large = {"image": "A" * 2_000_000, "image_type": "BASE64"}
    with stalled_uploads(gateway_at(service), 8, head, start, 33_500_000):
        assert app.code("face/detect", **PICTURE) == 0, "there is room for a small one"
        assert wait_until(lambda: app.code("face/detect", **large) == 222203, SOON_S)


def test_in_the_pipeline_bodies_that_do_not_get_on_make_room(service):
    head = head_of("/ArcFace/prediction", f"content-type: {JSON}")
    start = b'{"key": ["image"], "value": ["' + b"A" * 67_000_000
    content = json.dumps(body(("A" * 1_000_000,), {})).encode()

    def status() -> int:
        return httpx.post(service.url, content=content, timeout=60).status_code

    with stalled_uploads(("127.0.0.1", service.http_port), 4, head, start, 67_100_000):
        assert wait_until(lambda: status() == 200, SOON_S)
