"""``python -m library`` end to end: against a running service, a database and an index."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import cv2
import numpy as np
import pytest
import yaml
from skimage import data

from library.__main__ import main
from library.config import LibraryConfig
from library.records import Enrolment, NewFace
from library.store import Store
from tests.libraries import snapshots
from tests.service import ROOT

pytestmark = pytest.mark.service


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder a person; what an import refuses is among the pictures."""
    folder = tmp_path_factory.mktemp("people")
    face = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
    small = np.zeros_like(face)
    small[:256, :256] = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA)
    pictures = {
        "Eileen Collins/portrait.png": png(face),
        "Eileen Collins/sub/mirrored.png": png(cv2.flip(face, 1)),
        "Eileen Collins/again.png": png(face),
        "Eileen Collins/dark.jpg": cv2.imencode(".jpg", face // 2)[1].tobytes(),
        "odd/two.png": png(np.hstack([face, face])),
        "odd/nobody.png": png(np.full((200, 200, 3), 90, np.uint8)),
        "odd/text.jpg": b"this is no picture",
        "odd/small.png": png(small),
        "odd/blurred.png": png(cv2.GaussianBlur(face, (0, 0), 3)),
        "odd/notes.txt": b"not looked at",
    }
    for name, content in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def config(service, tmp_path):
    """A function that writes settings for a library of this test; their path."""

    def write(**library):
        settings = yaml.safe_load(service.config.read_text())
        settings["library"] = {"database": "sqlite:///faces.db", **library}
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump(settings))
        return path

    return write


@pytest.fixture
def run(capsys, config, tmp_path):
    """Runs a command with the settings last written; its status and what it printed."""
    config()

    def command(*arguments):
        status = main([*map(str, arguments), "--config", str(tmp_path / "config.yml")])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        return status, printed.out, printed.err

    return command


def store_of(tmp_path):
    return Store(LibraryConfig(folder=tmp_path, database="sqlite:///faces.db"))


def eileen(run, people, *arguments):
    folder = people.parent / "only-eileen"
    folder.mkdir(exist_ok=True)
    if not (folder / "Eileen Collins").exists():
        (folder / "Eileen Collins").symlink_to(people / "Eileen Collins")
    return run("import", folder, "--group", "staff", *arguments)


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
        (user,) = store.user("default", "Eileen_Collins")
        assert (user.group, user.info, user.faces) == ("staff", "Eileen Collins", 3)
        (first, *_) = store.faces("default", "staff", "Eileen_Collins")
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
        before = store.faces("default", "staff", "Eileen_Collins")
        store.delete_face("default", "staff", "Eileen_Collins", before[0].token)
    _, out, _ = eileen(run, people)
    assert "1 of 4 pictures enrolled for 1 users" in out
    assert "2 were there" in out
    _, out, _ = eileen(run, people, "--action", "replace")
    assert "0 of 4 pictures enrolled" in out
    with store_of(tmp_path) as store:
        kept = {face.token for face in store.faces("default", "staff", "Eileen_Collins")}
        assert len(kept) == 3


def test_replacing_exchanges_the_faces_that_a_user_had(run, people, tmp_path):
    eileen(run, people)
    with store_of(tmp_path) as store:
        first, second, _ = store.faces("default", "staff", "Eileen_Collins")
        face = store.face("default", first.token)
        other = NewFace(-face.embedding, face.model, metadata="not from a folder")
        store.enrol("default", [Enrolment("staff", "Eileen_Collins", other)])
        store.delete_face("default", "staff", "Eileen_Collins", second.token)
    eileen(run, people, "--action", "replace")
    with store_of(tmp_path) as store:
        faces = store.faces("default", "staff", "Eileen_Collins")
        assert len(faces) == 3
        assert all(json.loads(face.metadata)["picture"] for face in faces)


def test_a_user_gets_no_more_faces_than_are_allowed(run, config, people):
    config(limits={"faces_per_user": 2})
    status, out, _ = eileen(run, people)
    assert status == 1
    assert "2 of 4 pictures enrolled" in out
    assert "too_many_faces" in out


def test_folders_that_would_be_one_user_are_refused_before_anything_is_sent(run, tmp_path):
    for name in ("Zoë", "Zoé"):
        (tmp_path / "same" / name).mkdir(parents=True)
        (tmp_path / "same" / name / "a.png").write_bytes(b"")
    status, _, err = run("import", tmp_path / "same", "--group", "staff")
    assert status == 1
    assert "would all be user Zo_" in err
    status, _, err = run("import", tmp_path / "nowhere", "--group", "staff")
    assert (status, "is not a directory" in err) == (1, True)


def test_a_search_names_who_is_in_a_picture(run, people, tmp_path):
    eileen(run, people)
    picture = people / "odd" / "two.png"
    status, out, _ = run("search", picture, "--json", "--group", "staff")
    assert status == 0
    found = json.loads(out)
    assert [face["users"][0]["user"] for face in found["faces"]] == ["Eileen_Collins"] * 2
    assert all(face["users"][0]["score"] > 95 for face in found["faces"])
    status, out, _ = run("search", people / "Eileen Collins" / "dark.jpg")
    assert (status, "Eileen_Collins" in out) == (0, True)
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


def test_everything_is_exported_with_embeddings_and_pictures(run, config, people, tmp_path):
    config(store_crops=True)
    eileen(run, people)
    status, out, _ = run("export", tmp_path / "out")
    assert (status, "3 faces and 3 pictures" in out) == (0, True)
    lines = [json.loads(line) for line in (tmp_path / "out" / "faces.jsonl").open()]
    with store_of(tmp_path) as store:
        for line in lines:
            face = store.face("default", line["token"])
            stored = np.frombuffer(base64.b64decode(line["embedding"]), "<f4")
            np.testing.assert_array_equal(stored, face.embedding)
            crop = cv2.imread(str(tmp_path / "out" / line["crop"]))
            assert crop.shape == (112, 112, 3)
    status, out, _ = run("export", "-")
    assert (status, len(out.splitlines())) == (0, 3)
    run("export", tmp_path / "all.jsonl")
    assert (tmp_path / "all.jsonl").stat().st_mode & 0o077 == 0
    status, _, err = run("export", tmp_path / "x.jsonl", "--app", "bank")
    assert (status, "app_not_found" in err) == (1, True)
    assert not (tmp_path / "x.jsonl").exists()


def test_reembedding_by_the_stored_pictures_gives_what_the_pictures_gave(
    run, config, people, tmp_path
):
    config(store_crops=True)
    eileen(run, people)
    with store_of(tmp_path) as store:
        tokens = [face.token for face in store.faces("default", "staff", "Eileen_Collins")]
        before = [store.face("default", token) for token in tokens]
        model = before[0].model
        moved = zip(tokens, np.eye(3, 8, dtype=np.float32))
        store.replace_embeddings("default", "older", moved)
    status, out, _ = run("reembed", "--model", model)
    assert (status, f"3 faces of app default are of {model} now" in out) == (0, True)
    with store_of(tmp_path) as store:
        for old in before:
            same = float(store.face("default", old.token).embedding @ old.embedding)
            # The crop is ArcFace's. dlib's network looks at a larger one, whose rim it lacks.
            assert same > (0.999 if model == "mobilefacenet_128" else 0.99)
    status, _, err = run("reembed", "--model", "older")
    assert (status, f"the service runs {model}, not older" in err) == (1, True)


def test_a_move_without_stored_pictures_leaves_the_app_as_it_is(run, people, tmp_path):
    eileen(run, people)
    status, _, err = run("reembed", "--model", "newer")
    assert (status, "reembed_incomplete" in err) == (1, True)


def snapshot_of(run, people, tmp_path):
    """A search opens the index and leaves a snapshot."""
    run("search", people / "Eileen Collins" / "dark.jpg")
    (path,) = snapshots(tmp_path)
    return path


def test_a_deleted_user_leaves_no_trace(run, people, tmp_path):
    run("import", people, "--group", "staff")
    snapshot = snapshot_of(run, people, tmp_path)
    with store_of(tmp_path) as store:
        faces = store.faces("default", "staff", "Eileen_Collins")
        stored = [store.face("default", face.token).embedding for face in faces]
    run("backup", tmp_path / "old.backup")
    status, out, _ = run("delete-user", "Eileen_Collins", "--compact")
    assert status == 1
    assert f"still in the backup {tmp_path}/old.backup" in out
    (tmp_path / "old.backup").unlink()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert snapshot in files
    for path in files:
        content = path.read_bytes()
        for embedding in stored:
            assert embedding.tobytes() not in content
            assert embedding.astype(np.float16).tobytes() not in content
        assert b"Eileen" not in content or path.name == "config.yml"
    status, out, _ = run("verify")
    assert (status, "all is well" in out) == (0, True)
    status, _, err = run("delete-user", "Eileen_Collins")
    assert (status, "user_not_found" in err) == (1, True)


def test_a_backup_is_put_back(run, people, tmp_path):
    eileen(run, people)
    status, out, _ = run("backup", tmp_path / "backup")
    assert (status, "MB written" in out) == (0, True)
    status, _, err = run("restore", tmp_path / "backup")
    assert (status, "restore_not_empty" in err) == (1, True)
    run("delete-user", "Eileen_Collins")
    status, out, _ = run("restore", tmp_path / "backup", "--replace")
    assert (status, "3 faces of 1 apps restored" in out) == (0, True)
    status, _, err = run("restore", tmp_path / "config.yml", "--replace")
    assert (status, "backup_unreadable" in err) == (1, True)


def test_verify_finds_what_is_wrong_and_repairs_it(run, people, tmp_path):
    eileen(run, people)
    snapshot_of(run, people, tmp_path)
    status, out, _ = run("verify")
    assert (status, "3 entries compared" in out, "all is well" in out) == (0, True, True)
    with closing(sqlite3.connect(tmp_path / "faces.db")) as connection, connection:
        # An entry that is gone without a word to the index, and one that has another number.
        connection.execute("DELETE FROM entry WHERE id = 1")
        connection.execute("UPDATE entry SET id = 77 WHERE id = 2")
    status, out, _ = run("verify", "--json")
    assert status == 1
    kinds = [problem["kind"] for problem in json.loads(out)["problems"]]
    assert sorted(kinds) == [
        "face_without_entry", "indexed_too_much", "indexed_too_much", "not_indexed", "wrong_count",
    ]  # fmt: skip
    status, out, _ = run("verify", "--repair")
    assert (status, "repaired" in out) == (0, True)
    status, out, _ = run("verify")
    assert (status, "all is well" in out) == (0, True)


def test_stats_say_what_there_is_and_where(run, people, tmp_path):
    status, out, _ = run("stats")
    assert (status, "no app yet" in out) == (0, True)
    eileen(run, people)
    snapshot = snapshot_of(run, people, tmp_path)
    run("backup", tmp_path / "backup")
    status, out, _ = run("stats")
    assert status == 0
    for words in ("default", "staff", str(snapshot), f"{tmp_path}/backup", "faces.db"):
        assert words in out.replace("\n", "")
    document = json.loads(run("stats", "--json")[1])
    assert document["apps"][0]["faces"] == 3
    assert document["backups"][0]["there"]


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


def test_wrong_usage_and_settings_end_with_2_and_faults_with_1_and_one_line(tmp_path, config):
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
    code, err = status("stats", "--config", config(database="redis://x/y"))
    assert (code, "library.database" in err) == (2, True)
    code, err = status("stats", "--config", config(database="postgresql://127.0.0.1:1/faces"))
    assert (code, "database_unavailable" in err, len(err.splitlines())) == (1, True, 1)
    (tmp_path / "torn.db").write_bytes(b"no database" * 1000)
    code, err = status("stats", "--config", config(database="sqlite:///torn.db"))
    assert (code, "database_damaged" in err) == (1, True)
