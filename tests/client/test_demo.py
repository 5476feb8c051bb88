"""The demo: it enrols people, names them in a picture, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from client import FaceService
from client.cli.draw import upright
from client.demo import __main__ as demo
from client.demo.people import people_in, sample_people, sample_scene
from tests.conftest import SHARED
from tests.support.gateway.client import new_app
from tests.support.pictures import astronaut, encode
from tests.support.service import is_free

FRIENDS = SHARED / "faces" / "friends"


@pytest.fixture
def app(service) -> list[str]:
    """Arguments of the demo for an app of this test's own."""
    return ["--url", service.gateway_url, "--app", new_app()]


def test_the_sample_face_is_recognised_in_the_sample_picture(service, app, tmp_path, capsys):
    out = tmp_path / "out" / "demo.png"
    assert demo.main([*app, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.count("Eileen Collins") == 3
    drawn, scene = cv2.imread(str(out)), upright(sample_scene(), "the sample")
    assert drawn.shape == scene.shape
    assert np.any(drawn != scene)
    with FaceService(service.gateway_url, app=app[-1]) as client:
        assert client.groups() == ()


def people(folder: Path) -> Path:
    """A folder of two people, one of whom has only a picture without a face."""
    for name, pixels in (
        ("Ada 爱达", astronaut()),
        ("Nobody", np.full((64, 64, 3), 90, np.uint8)),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "one.jpg").write_bytes(encode(pixels))
    return folder


def test_people_are_named_as_their_folders(app, tmp_path, capsys):
    folder = people(tmp_path / "people")
    picture = folder / "Ada 爱达" / "one.jpg"
    assert demo.main([str(folder), str(picture), *app, "--out", str(tmp_path / "a.jpg")]) == 0
    said = capsys.readouterr().out
    assert said.count("Ada 爱达") == 2
    assert "pic not has face" in said


def test_a_stranger_has_no_name(app, tmp_path, capsys):
    arguments = ["--threshold", "100", "--out", str(tmp_path / "a.png")]
    assert demo.main([*app, *arguments]) == 1
    assert "nobody" in capsys.readouterr().out


def test_people_who_cannot_be_enrolled_are_said_to_be(service, app, tmp_path, capsys):
    (tmp_path / "people" / "Text").mkdir(parents=True)
    (tmp_path / "people" / "Text" / "a.jpg").write_bytes(b"no picture")
    assert demo.main([str(tmp_path / "people"), *app]) == 1
    assert "could be enrolled" in capsys.readouterr().err
    with FaceService(service.gateway_url, app=app[-1]) as client:
        assert client.groups() == ()


def test_what_is_missing_is_named(tmp_path, capsys):
    assert demo.main([str(tmp_path / "missing")]) == 2
    assert demo.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no such directory" in said
    assert "one a person" in said


def test_an_address_that_is_given_is_the_only_one_asked(tmp_path, capsys):
    assert demo.main(["--url", "http://127.0.0.1:1", "--out", str(tmp_path / "a.png")]) == 1
    assert "no service at" in capsys.readouterr().err


def test_a_folder_of_people_is_read_in_order_and_up_to_a_bound(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    found = people_in(tmp_path, 2)
    assert [(one.name, len(one.pictures)) for one in found] == [("a", 2), ("b", 2)]


def test_the_sample_person_is_shown_in_different_views():
    (person,) = sample_people()
    assert len({data for _, data in person.pictures}) == 3


@pytest.mark.slow
def test_where_no_service_answers_the_demo_starts_one(models, tmp_path, capsys, monkeypatch):
    if not is_free(8300):
        pytest.skip("a service runs on this machine")
    monkeypatch.chdir(tmp_path)
    assert demo.main(["--out", "demo.png"]) == 0
    assert (tmp_path / "demo.png").exists()


def test_friends_are_all_recognised(app, tmp_path, capsys):
    if not FRIENDS.is_dir():
        pytest.skip("the pictures of friends are not here")
    picture = FRIENDS / "query" / "friends2.jpg"
    few = tmp_path / "people"
    for person in sorted((FRIENDS / "gallery").iterdir()):
        (few / person.name).mkdir(parents=True)
        for file in sorted(person.iterdir())[:3]:
            (few / person.name / file.name).symlink_to(file)
    assert demo.main([str(few), str(picture), *app, "--out", str(tmp_path / "a.jpg")]) == 0
    said = capsys.readouterr().out
    for person in few.iterdir():
        assert said.count(person.name) == 2
