"""The plain interface: comparing two files, health, metrics, documents, and everything else."""

from __future__ import annotations

import base64

import httpx
import pytest

from tests.conftest import SHARED
from tests.support.gateway.client import BROKEN, FACE, NOBODY, SIMILAR

CLIENT = httpx.Client(timeout=60, verify=False)
FRIENDS = SHARED / "faces" / "friends" / "gallery"


def compare(service, *pictures: bytes) -> httpx.Response:
    files = {f"image{number}": picture for number, picture in enumerate(pictures, 1)}
    return CLIENT.post(f"{service.gateway_url}/compare", files=files)


def raw(image: str) -> bytes:
    return base64.b64decode(image + "=" * (-len(image) % 4))


def get(service, path: str) -> httpx.Response:
    return CLIENT.get(service.gateway_url + path)


def test_two_pictures_of_one_person_are_the_same(service):
    answer = compare(service, raw(FACE), raw(SIMILAR))
    assert answer.status_code == 200
    content = answer.json()
    assert set(content) >= {"similarity", "is_same_person", "message"}
    assert 0.4 < content["similarity"] < 1
    assert content["is_same_person"] is True
    assert content["message"]


def test_a_picture_is_like_itself(service):
    assert compare(service, raw(FACE), raw(FACE)).json()["similarity"] == pytest.approx(1, abs=1e-3)


def friend(name: str, which: int) -> bytes:
    found = sorted((FRIENDS / name).glob("*"))
    if len(found) <= which:
        pytest.skip("the pictures of friends are not here")
    return found[which].read_bytes()


def test_two_people_are_not_the_same_and_one_is(service):
    phoebe = friend("Phoebe", 0)
    same = compare(service, phoebe, friend("Phoebe", 1)).json()
    others = compare(service, phoebe, friend("Monica", 0)).json()
    assert same["is_same_person"] is True
    assert others["is_same_person"] is False
    assert others["similarity"] < same["similarity"]


@pytest.mark.parametrize("bad", [raw(NOBODY), raw(BROKEN), b"text", b""])
def test_pictures_that_cannot_be_compared_are_the_clients_fault(service, bad):
    for pictures in ((raw(FACE), bad), (bad, raw(FACE))):
        answer = compare(service, *pictures)
        assert 400 <= answer.status_code < 500
        assert answer.json()["message"]
        assert "similarity" not in answer.json()


def test_both_pictures_are_needed(service):
    for answer in (
        compare(service),
        compare(service, raw(FACE)),
        CLIENT.post(f"{service.gateway_url}/compare", json={"image1": FACE, "image2": FACE}),
        CLIENT.post(f"{service.gateway_url}/compare", data={"image1": "a", "image2": "b"}),
    ):
        assert 400 <= answer.status_code < 500
        assert answer.json()["message"]


def test_health_says_what_is_running(service):
    answer = get(service, "/health")
    assert answer.status_code == 200
    content = answer.json()
    assert content["status"] == "ok"
    assert {"Detection", "Landmark", "ArcFace"} <= set(content["models"])
    names = [name for told in content["models"].values() for name in told.split("+")]
    assert set(content["licences"]) == set(names)
    assert content["licences"][content["models"]["Landmark"]] == "MIT"
    assert content["versions"]
    assert content["uptime_s"] >= 0


def test_metrics_are_prometheus_text(service):
    answer = get(service, "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    samples = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
    assert samples
    for line in samples:
        float(line.rpartition(" ")[2])


def test_the_documents_are_served(service):
    assert get(service, "/docs").status_code == 200
    document = get(service, "/openapi.json").json()
    assert document["openapi"].startswith("3.")
    for path in ("/face-api/v3/face/detect", "/rest/2.0/face/v3/faceset/user/add", "/compare"):
        assert path in document["paths"]


def test_the_root_is_an_index(service):
    answer = get(service, "/")
    assert answer.status_code == 200
    assert isinstance(answer.json(), dict)


@pytest.mark.parametrize("path", ["/nothing", "/compare/more", "/docs/x", "/face-api"])
def test_what_is_not_there_is_not_found(service, path):
    assert get(service, path).status_code == 404


@pytest.mark.parametrize("path", ["/face-api/v3/face/nothing", "/rest/2.0/face/v3/nothing"])
def test_an_operation_that_is_not_there_says_so_in_the_apis_frame(service, path):
    answer = CLIENT.post(service.gateway_url + path, json={})
    assert answer.json()["error_code"] == 3


def test_a_request_bears_its_name_back(service):
    url = f"{service.gateway_url}/face-api/v3/app/list"
    answer = CLIENT.get(url, headers={"x-request-id": "order-17_b"})
    assert answer.headers["x-request-id"] == "order-17_b"
    made = [CLIENT.get(url).headers["x-request-id"] for _ in range(2)]
    assert made[0] != made[1]
    strange = CLIENT.get(url, headers={"x-request-id": "x" * 5000})
    assert len(strange.headers["x-request-id"]) < 200


def test_each_answer_has_a_number_of_its_own_in_the_log(service):
    url = f"{service.gateway_url}/face-api/v3/app/list"
    numbers = {CLIENT.get(url).json()["log_id"] for _ in range(20)}
    assert len(numbers) == 20
