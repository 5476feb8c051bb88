"""The Python client against the running gateway."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from typing import Any

import pytest

from client import AsyncFaceService, FaceService, FaceServiceError
from tests.support.gateway.client import FACE, NOBODY, SIMILAR, new_app, version

FIELDS = ("age", "gender", "landmark", "landmark72", "quality", "spoofing", "feature")


def raw(image: str) -> bytes:
    return base64.b64decode(image)


@pytest.fixture
def client(service) -> Iterator[FaceService]:
    """A client in an app of this test's own."""
    with FaceService(service.gateway_url, app=new_app(), timeout=60) as made:
        yield made


def test_a_person_is_enrolled_found_copied_and_deleted(client):
    client.create_group("staff")
    client.create_group("guests")
    enrolled = client.add(raw(FACE), "staff", "ada", info="Ada L.")
    assert enrolled.location is not None
    assert enrolled.location.width > 20

    (found,) = client.identify(raw(SIMILAR), ["staff"]).users
    assert (found.group, found.user, found.info) == ("staff", "ada", "Ada L.")
    assert found.score > 80
    (face,) = client.multi_search(raw(SIMILAR), "staff")
    assert face.users[0].user == "ada"

    client.copy_user("ada", "staff", "guests")
    assert {one.group for one in client.user("ada")} == {"staff", "guests"}
    assert client.groups() == ("staff", "guests")
    assert client.users("staff") == ("ada",)
    (kept,) = client.faces("ada", "staff")
    assert kept.token == enrolled.token
    of_one = client.multi_search(raw(SIMILAR), "staff", user="ada")
    assert [user.user for user in of_one[0].users] == ["ada"]
    counted = {one.group: (one.users, one.faces) for one in client.group_statistics()}
    assert counted == {"staff": (1, 1), "guests": (1, 1)}
    assert (2, 2, 1) in {(app.groups, app.users, app.faces) for app in client.app_statistics()}

    client.delete_face("ada", "staff", kept.token)
    assert client.users("staff") == ()
    client.delete_user("ada", "@ALL")
    client.delete_group("guests")
    assert client.groups() == ("staff",)


def test_a_users_faces_are_added_to_and_replaced(client):
    client.create_group("staff")
    client.add(raw(FACE), "staff", "ada")
    client.add(raw(SIMILAR), "staff", "ada")
    assert len(client.faces("ada", "staff")) == 2
    client.update(raw(FACE), "staff", "ada", info="new")
    assert len(client.faces("ada", "staff")) == 1
    assert client.user("ada", "staff")[0].info == "new"
    with pytest.raises(FaceServiceError) as raised:
        client.update(raw(FACE), "staff", "bob")
    assert raised.value.code == 223103
    with pytest.raises(FaceServiceError) as raised:
        client.update(raw(FACE), "staff", "bob", create=True)
    assert raised.value.code == 223105
    client.update(raw(version("bob")), "staff", "bob", create=True)
    assert client.users("staff") == ("ada", "bob")


def test_a_face_is_described_as_asked(client):
    (face,) = client.detect(raw(FACE), fields=FIELDS)
    assert face.location is not None
    assert face.angle is not None
    assert face.gender is not None
    assert face.gender.type in ("male", "female")
    assert face.age is not None
    assert 0 < face.age < 100
    assert len(face.landmarks) == 4
    assert len(face.landmark72) == 72
    assert face.quality is not None
    assert 0 <= face.quality.blur <= 1
    assert face.spoofing is not None
    assert len(base64.b64decode(face.raw["feature"])) == 4 * 128


def test_a_token_stands_for_its_face(client):
    (face,) = client.detect(raw(FACE))
    assert client.match(face.token, raw(FACE)).score > 99
    client.create_group("staff")
    client.add(face.token, "staff", "ada")
    assert client.identify(face.token, "staff").users[0].user == "ada"


def test_two_pictures_are_compared_both_ways(client):
    assert client.match(raw(FACE), raw(SIMILAR)).score > 80
    compared = client.compare(raw(FACE), raw(SIMILAR))
    assert compared.is_same_person
    assert 0.4 < compared.similarity < 1


def test_liveness_comes_with_its_thresholds(client):
    found = client.liveness([raw(FACE), raw(SIMILAR)])
    assert 0 <= found.score <= 1
    assert set(found.thresholds) == {"frr_1e-4", "frr_1e-3", "frr_1e-2"}
    assert len(found.faces) == 2
    assert all(face.liveness is not None for face in found.faces)


def test_no_face_nobody_and_no_group_are_told_apart(client):
    assert client.detect(raw(NOBODY)) == ()
    client.create_group("empty")
    assert client.identify(raw(FACE), "empty").users == ()
    assert client.multi_search(raw(NOBODY), "empty") == ()
    for call, code in (
        (lambda: client.identify(raw(FACE), "missing"), 223100),
        (lambda: client.add(raw(NOBODY), "empty", "ada"), 222202),
        (lambda: client.detect(b"no picture"), 222203),
        (lambda: client.create_group("empty"), 223101),
        (lambda: client.compare(raw(FACE), raw(NOBODY)), None),
    ):
        with pytest.raises(FaceServiceError) as raised:
            call()
        assert code in (None, raised.value.code)


def test_the_service_says_that_it_is_well(client):
    report = client.health()
    assert report.ok
    assert "ArcFace" in report.models
    assert report.uptime_s > 0


def test_tasks_ask_at_the_same_time(service):
    async def run() -> list[Any]:
        async with AsyncFaceService(service.gateway_url, timeout=60) as client:
            pictures = [raw(version(number)) for number in range(4)]
            return await asyncio.gather(*map(client.detect, pictures))

    found = asyncio.run(run())
    assert len({faces[0].token for faces in found}) == 4
