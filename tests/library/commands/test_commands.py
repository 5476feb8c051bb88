"""``python -m library`` end to end: importing and searching with a running service."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import yaml

from library.__main__ import main
from library.records import Enrolment, NewFace
from tests.support.libraries.commands import EILEEN, eileen, store_of
from tests.support.service import ROOT

pytestmark = pytest.mark.service


def test_an_import_enrols_what_it_can_and_says_what_it_refuses(run, people, tmp_path):
    report = tmp_path / "report.json"
    options = ["--min-size", 60, "--min-sharpness", 20, "--several", "refuse"]
    status, out, _ = run("import", people, "--group", "staff", "--report", report, *options)
    assert status == 1
    assert "3 of 9 pictures enrolled for 1 users of group staff in app default" in out
    document = json.loads(report.read_text())
    assert document["finished"]
    refused = {one["picture"]: one["reason"] for one in document["refused"]}
    assert refused == {
        "Eileen Collins/portrait.png": "repeated",
        "odd/two.png": "several_faces",
        "odd/nobody.png": "no_face",
        "odd/text.jpg": "unreadable",
        "odd/small.png": "too_small",
        "odd/blurred.png": "blurred",
    }
    assert all(one["reason"] in out for one in document["refused"])
    with store_of(tmp_path) as store:
        (user,) = store.user("default", EILEEN)
        assert (user.group, user.info, user.faces) == ("staff", "Eileen Collins", 3)
        (first, *_) = store.faces("default", "staff", EILEEN)
        about = json.loads(first.metadata)
        content = (people / about["picture"]).read_bytes()
        assert about["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_largest_of_several_faces_is_taken_by_default(run, people):
    status, out, _ = run("import", people, "--group", "staff")
    assert status == 1
    assert "6 of 9 pictures enrolled for 2 users" in out


def test_an_import_that_is_run_again_does_only_what_is_left(run, people, tmp_path):
    eileen(run, people)
    with store_of(tmp_path) as store:
        before = store.faces("default", "staff", EILEEN)
        store.delete_face("default", "staff", EILEEN, before[0].token)
    _, out, _ = eileen(run, people)
    assert "1 of 4 pictures enrolled for 1 users" in out
    assert "2 were there" in out
    _, out, _ = eileen(run, people, "--action", "replace")
    assert "0 of 4 pictures enrolled" in out
    with store_of(tmp_path) as store:
        kept = {face.token for face in store.faces("default", "staff", EILEEN)}
        assert len(kept) == 3


def test_replacing_exchanges_the_faces_that_a_user_had(run, people, tmp_path):
    eileen(run, people)
    with store_of(tmp_path) as store:
        first, second, _ = store.faces("default", "staff", EILEEN)
        face = store.face("default", first.token)
        other = NewFace(-face.embedding, face.model, metadata="not from a folder")
        store.enrol("default", [Enrolment("staff", EILEEN, other)])
        store.delete_face("default", "staff", EILEEN, second.token)
    eileen(run, people, "--action", "replace")
    with store_of(tmp_path) as store:
        faces = store.faces("default", "staff", EILEEN)
        assert len(faces) == 3
        assert all(json.loads(face.metadata)["picture"] for face in faces)


def test_a_user_gets_no_more_faces_than_are_allowed(run, library_settings, people):
    library_settings(limits={"faces_per_user": 2})
    status, out, _ = eileen(run, people)
    assert status == 1
    assert "2 of 4 pictures enrolled" in out
    assert "too_many_faces" in out


def test_folders_that_would_be_one_user_are_refused_before_anything_is_sent(run, tmp_path):
    for name in ("Zo\u00eb", "Zoe\u0308"):
        (tmp_path / "same" / name).mkdir(parents=True)
        (tmp_path / "same" / name / "a.png").write_bytes(b"")
    status, _, err = run("import", tmp_path / "same", "--group", "staff")
    assert status == 1
    assert "would all be user Zoe_" in err
    status, _, err = run("import", tmp_path / "nowhere", "--group", "staff")
    assert (status, "is not a directory" in err) == (1, True)


def test_a_search_names_who_is_in_a_picture(run, people, tmp_path):
    eileen(run, people)
    picture = people / "odd" / "two.png"
    status, out, _ = run("search", picture, "--json", "--group", "staff")
    assert status == 0
    found = json.loads(out)
    assert [face["users"][0]["user"] for face in found["faces"]] == [EILEEN] * 2
    assert all(face["users"][0]["score"] > 95 for face in found["faces"])
    status, out, _ = run("search", people / "Eileen Collins" / "dark.jpg")
    assert (status, EILEEN in out) == (0, True)
    status, out, _ = run("search", people / "odd" / "nobody.png")
    assert (status, "no face" in out) == (1, True)
    for arguments, words in (
        ([people / "odd" / "text.jpg"], "UNSUPPORTED_FORMAT"),
        ([people / "missing.png"], "cannot be read"),
        ([picture, "--app", "bank"], "app_not_found"),
        ([picture, "--group", "guests"], "group_not_found"),
        ([picture, "--service", "http://127.0.0.1:9/", "--timeout", "1"], "no service at"),
    ):
        status, _, err = run("search", *arguments)
        assert status == 1
        assert words in err


@pytest.mark.slow
def test_a_running_service_that_is_busy_is_waited_for(make_service, people, tmp_path):
    slow = make_service(lambda settings: settings["limits"].update(queue_length=1))
    settings = yaml.safe_load(slow.config.read_text())
    settings["library"] = {"database": f"sqlite:///{tmp_path}/faces.db"}
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    arguments = ["import", str(people), "--group", "staff", "--concurrency", "8"]
    assert main([*arguments, "--config", str(path)]) == 1
    with store_of(tmp_path) as store:
        assert store.statistics("default").faces == 6


def test_wrong_usage_and_settings_end_with_2_and_faults_with_1_and_one_line(
    tmp_path, library_settings
):
    def status(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "library", *map(str, arguments)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    assert status()[0] == 2
    assert status("import", tmp_path)[0] == 2
    assert status("stats", "--config", tmp_path / "missing.yml")[0] == 2
    code, err = status("stats", "--config", library_settings(database="redis://x/y"))
    assert (code, "library.database" in err) == (2, True)
    code, err = status(
        "stats", "--config", library_settings(database="postgresql://127.0.0.1:1/faces")
    )
    assert (code, "database_unavailable" in err, len(err.splitlines())) == (1, True, 1)
    (tmp_path / "torn.db").write_bytes(b"no database" * 1000)
    code, err = status("stats", "--config", library_settings(database="sqlite:///torn.db"))
    assert (code, "database_damaged" in err) == (1, True)
