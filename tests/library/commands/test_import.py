"""``python -m library import``: a name is a person. The service's answers are made up here."""

from __future__ import annotations

import base64
import json
import os
import unicodedata

import numpy as np
import pytest
import yaml

from client.errors import ClientError
from client.pipeline.answer import Answer, FaceAnswer, ImageAnswer
from client.rest.user_ids import user_id_of
from client.terminal.console import open_console
from library.__main__ import main
from library.commands import importing
from library.commands.import_command import _show
from library.commands.importing import Person, Report
from library.commands.session import Session
from library.records import Enrolment, NewFace
from tests.support.libraries.commands import store_of
from tests.support.libraries.faces import DIM, MODEL, vectors
from tests.support.service import ROOT


class Pipeline:
    """In place of a service: a face for each picture, and none for those that say so."""

    interrupts = True

    def predict(self, picture, options):
        content = base64.b64decode(picture)
        if content == b"no picture":
            raise ClientError("5103", "send a picture")
        if content == b"Ctrl-C" and self.interrupts:
            raise KeyboardInterrupt
        seed = int.from_bytes(content[:4].ljust(4, b"\0"), "big")
        vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
        faces = () if content == b"nobody" else (FaceAnswer((0, 0, 99, 99), 0.9, embedding=vector),)
        return Answer(ImageAnswer(100, 100, faces), {"ArcFace": MODEL}, {})

    def close(self):
        pass


@pytest.fixture
def bring(tmp_path, monkeypatch, capsys):
    """Imports folders, each a name with its pictures; status, output, and the report."""
    monkeypatch.setattr(Session, "connect", lambda *_: Pipeline())
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["models_dir"] = str(ROOT / "models")

    def run(folders, *arguments, **limits):
        settings["library"] = {"database": "sqlite:///faces.db", "limits": limits}
        (tmp_path / "config.yml").write_text(yaml.safe_dump(settings))
        root = tmp_path / f"people-{len(list(tmp_path.glob('people-*')))}"
        for name, pictures in folders.items():
            folder = os.path.join(os.fsencode(root), os.fsencode(name))
            os.makedirs(folder)
            for number, content in enumerate(pictures):
                with open(os.path.join(folder, b"%d.png" % number), "wb") as file:
                    file.write(content)
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        command = ["import", str(root), "--group", "staff", "--report", str(report)]
        command += ["--config", str(tmp_path / "config.yml"), *arguments]
        status = main(command)
        told = json.loads(report.read_text("utf-8")) if report.exists() else {}
        printed = capsys.readouterr()
        return status, printed.out + printed.err, told

    return run


@pytest.fixture
def users(tmp_path):
    """A function: the users of the group, with info and number of faces."""

    def users():
        with store_of(tmp_path) as store:
            found = [store.user("default", name, "staff")[0] for name in store.users(*GROUP)]
        return {one.user: (one.info, one.faces) for one in found}

    return users


GROUP = ("default", "staff")


def enrol(tmp_path, user, info="", metadata=None):
    """Somebody enrols a user otherwise."""
    face = NewFace(vectors(1)[0], MODEL, metadata=metadata)
    with store_of(tmp_path) as store:
        if not store.groups("default"):
            store.create_group(*GROUP)
        store.enrol("default", [Enrolment("staff", user, face, info)])


def test_two_names_on_two_days_are_two_users(bring, users):
    assert bring({"张三": [b"1", b"2"]})[0] == 0
    assert bring({"李四": [b"3"]})[0] == 0
    assert users() == {user_id_of("张三"): ("张三", 2), user_id_of("李四"): ("李四", 1)}


def test_every_name_becomes_a_user_of_its_own(bring, users):
    names = ["Anna", "anna", "Zoë", "Zoe", "А", "A", "😀", "é" * 100, "00123", "１２３", "__", "-"]
    status, _, report = bring({name: [b"%d" % n] for n, name in enumerate(names)})
    assert status == 0
    assert users() == {
        user_id_of(name): ("" if user_id_of(name) == name else name, 1) for name in names
    }
    assert [(one["name"], one["user"]) for one in report["people"]] == [
        (name, user_id_of(name)) for name in sorted(names)
    ]


def test_names_that_are_no_text_are_people_too(bring, users):
    status, out, _ = bring({b"\xff": [b"1"], b"\xfe": [b"2"], b"\x1b[2Jx": [b"3"]})
    assert status == 0
    assert "\x1b" not in out
    assert sorted(users().values()) == [("\ufffd", 1), ("\ufffd", 1), ("\ufffd[2Jx", 1)]


def test_a_name_too_long_for_the_info_is_cut_there_and_found_again(bring, users):
    one, other = "张" * 40 + "甲", "张" * 40 + "乙"
    folders = {one: [b"1"], other: [b"2"]}
    assert bring(folders, user_info_bytes=30)[0] == 0
    assert users() == {user_id_of(name): ("张" * 9 + "…", 1) for name in (one, other)}
    status, _, report = bring(folders, user_info_bytes=30)
    assert (status, report["present"]) == (0, 2)


def test_one_name_in_two_spellings_is_refused_before_anything_is_sent(bring, tmp_path):
    folders = {unicodedata.normalize(form, "Zoë"): [b"1"] for form in ("NFC", "NFD")}
    status, out, _ = bring(folders)
    assert status == 1
    assert f"would all be user {user_id_of('Zoë')}" in out
    assert not (tmp_path / "faces.db").exists()


def test_the_other_spelling_goes_on_where_the_first_has_ended(bring, users):
    bring({unicodedata.normalize("NFD", "Zoë"): [b"1"]})
    status, _, report = bring({"Zoë": [b"1", b"2"]})
    assert (status, report["present"], report["enrolled"]) == (0, 1, 1)
    assert users() == {user_id_of("Zoë"): ("Zoë", 2)}


def test_an_import_that_was_interrupted_goes_on(bring, users, monkeypatch):
    folders = {"张三": [b"1"], "李四": [b"2", b"Ctrl-C"]}
    status, _, report = bring(folders, "--concurrency", "1")
    assert (status, report["finished"]) == (130, False)
    monkeypatch.setattr(Pipeline, "interrupts", False)
    assert bring(folders)[0] == 0
    assert users() == {user_id_of("张三"): ("张三", 1), user_id_of("李四"): ("李四", 2)}


@pytest.mark.parametrize("action", ["append", "replace"])
def test_a_user_of_another_name_is_never_touched(bring, users, tmp_path, action):
    enrol(tmp_path, user_id_of("张三"), "somebody else")
    enrol(tmp_path, "ada", "Ada Lovelace")
    before = users()
    folders = {"张三": [b"1", b"2"], "ada": [b"3"], "李四": [b"4"]}
    status, out, report = bring(folders, "--action", action)
    assert status == 1
    assert users() == {**before, user_id_of("李四"): ("李四", 1)}
    left_out = {one["name"]: one["left_out"] for one in report["people"]}
    assert left_out == {"张三": {"other_name": 2}, "ada": {"other_name": 1}, "李四": {}}
    assert "other user_info" in out


def test_a_user_of_the_same_name_gets_the_faces(bring, users, tmp_path):
    enrol(tmp_path, user_id_of("张三"), "张三")
    enrol(tmp_path, "ada")
    enrol(tmp_path, "bob", "bob")
    assert bring({"张三": [b"1"], "ada": [b"2"], "bob": [b"3"]})[0] == 0
    assert users() == {user_id_of("张三"): ("张三", 2), "ada": ("", 2), "bob": ("bob", 2)}


def test_who_is_made_while_the_pictures_are_looked_at_is_not_touched_either(
    bring, users, tmp_path, monkeypatch
):
    looked = importing.Import._look

    def look(*arguments):
        if "ada" not in users():
            enrol(tmp_path, "ada", "Ada Lovelace")
        return looked(*arguments)

    monkeypatch.setattr(importing.Import, "_look", look)
    status, _, report = bring({"ada": [b"1"]})
    assert (status, report["enrolled"]) == (1, 0)
    assert report["people"][0]["left_out"] == {"other_name": 1}
    assert users() == {"ada": ("Ada Lovelace", 1)}


def test_folders_named_by_ids_go_to_users_of_any_name(bring, users, tmp_path):
    made = user_id_of("张三")
    enrol(tmp_path, made, "somebody else")
    status, out, _ = bring({made: [b"1"], "bob": [b"2"]}, "--by-id")
    assert status == 0
    assert users() == {made: ("somebody else", 2), "bob": ("", 1)}
    status, out, _ = bring({"张三": [b"1"]}, "--by-id")
    assert (status, "which 张三 is not" in out) == (1, True)


@pytest.mark.parametrize("merged", [True, False], ids=["merged", "alone"])
def test_what_an_earlier_version_has_imported_stays_as_it_is_and_is_named(
    bring, users, tmp_path, merged
):
    """Its ids had an underscore for what an id cannot have, and the last name as info."""
    about = json.dumps({"picture": "张三/a.png", "sha256": "0" * 64}, ensure_ascii=False)
    enrol(tmp_path, "__", "李四" if merged else "张三", about)
    before = users()
    status, out, report = bring({"张三": [b"1"], "王五": [b"2"]})
    assert status == 1
    assert report["people"][0]["left_out"] == {"earlier_id": 1}
    assert "it was imported as user __" in out
    assert users() == {**before, user_id_of("王五"): ("王五", 1)}


def test_the_table_tells_each_name_its_id_and_what_became_of_it(bring):
    bring({"张三": [b"1"]})
    folders = {"张三": [b"1", b"2", b"2", b"nobody", b"no picture"], "Bob": [b"no picture"]}
    status, out, report = bring(folders, faces_per_user=20)
    assert status == 1
    (row,) = [line for line in out.splitlines() if user_id_of("张三") in line]
    assert row.split()[:5] == ["张三", user_id_of("张三"), "1", "1", "3"]
    assert "1 repeated" in out
    (zhang,) = [one for one in report["people"] if one["name"] == "张三"]
    assert zhang == {
        "name": "张三",
        "user": user_id_of("张三"),
        "enrolled": 1,
        "present": 1,
        "left_out": {"repeated": 1, "no_face": 1, "unreadable": 1},
    }
    (bob,) = [one for one in report["people"] if one["name"] == "Bob"]
    assert (bob["enrolled"], bob["left_out"]) == (0, {"unreadable": 1})


def test_an_import_shows_no_more_people_than_can_be_read(capsys):
    people = {f"u{n}": Person(f"name {n}", f"u{n}", enrolled=1) for n in range(1200)}
    _show(Report("shop", "staff", people=people), open_console(markup=False))
    out = capsys.readouterr().out
    assert "name 999" in out
    assert "name 1000" not in out
    assert "and 200 more people" in out
