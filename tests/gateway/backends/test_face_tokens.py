"""Face tokens: known for a while, also after a restart, a kill or a full disk."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from gateway.backends import face_tokens as module
from gateway.backends.face_tokens import FaceTokens, KnownFace, new_token
from library.face_token_file import TokenFile
from tests.support.libraries.faces import vectors
from tests.support.service import ROOT, wait_until

SOON_S = 20  # far more than writing takes, for machines that stand still at times
HOUR_S = 3600.0


def face(token=None, app="shop", seed=0, **values):
    return KnownFace(
        **{
            "token": token or new_token(),
            "app": app,
            "model": "recogniser",
            "embedding": vectors(1, seed)[0],
            "location": {"left": 1.5, "top": 2.0, "width": 3.0, "height": 4.0, "rotation": -5},
            "probability": 0.875,
            "quality": {"blur": 0.25, "occlusion": {"left_eye": 0.0}},
            "angle": None,
            "liveness": 0.5,
            **values,
        }
    )


@pytest.fixture
def file(tmp_path):
    return tmp_path / "data" / "tokens.db"


@pytest.fixture
def open_tokens(file):
    """Tokens in the file of this test; all are closed when it ends."""
    made = []

    def make(seconds=HOUR_S, most=1000):
        made.append(FaceTokens(file, seconds, most))
        return made[-1]

    yield make
    for one in made:
        one.close()


def get(tokens, token, app="shop"):
    return asyncio.run(tokens.get(app, token))


def rows(file):
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM face_tokens").fetchone()[0]
    except sqlite3.DatabaseError:
        return 0  # not made yet, or a damaged one has not been set aside yet


def values(known):
    return {name: value for name, value in vars(known).items() if name != "embedding"}


def test_tokens_are_32_hexadecimal_digits_and_never_the_same():
    made = {new_token() for _ in range(1000) if re.fullmatch("[0-9a-f]{32}", new_token())}
    assert len(made) == 1000


def test_a_face_is_known_at_once_and_logs_could_not_tell_its_embedding(open_tokens):
    tokens = open_tokens()
    known = face()
    tokens.put(known)
    assert get(tokens, known.token) is known
    assert "embedding" not in repr(known)


@pytest.mark.parametrize("unseen", [{}, {"quality": None, "angle": None, "liveness": None}])
def test_a_face_is_the_same_after_a_restart(open_tokens, unseen):
    first = open_tokens()
    known = face(**{"location": {"left": np.float32(0.5)}, "angle": {"yaw": 1.0}, **unseen})
    first.put(known)
    first.close()
    found = get(open_tokens(), known.token)
    assert values(found) == values(known)
    assert np.array_equal(found.embedding, known.embedding)
    assert found.embedding.dtype == np.float32


def test_a_forgotten_face_is_not_known_and_leaves_nothing_in_the_file(file, open_tokens):
    first = open_tokens()
    known, other = face(seed=1), face(seed=2)
    for one in (known, other):
        first.put(one)
    assert wait_until(lambda: rows(file) == 2, SOON_S)
    first.forget(known)
    assert get(first, known.token) is None
    first.close()
    assert get(open_tokens(), known.token) is None
    assert rows(file) == 1
    assert known.embedding.tobytes() not in file.read_bytes()
    assert other.embedding.tobytes() in file.read_bytes()


def test_a_token_is_known_only_in_the_app_that_it_was_given_to(open_tokens):
    first = open_tokens()
    known = face(app="shop")
    first.put(known)
    assert get(first, known.token, "bank") is None
    first.close()
    assert get(open_tokens(), known.token, "bank") is None


@pytest.mark.parametrize("token", ["", "0" * 32, "' OR 1=1 --", "0" * 5000, "\ud800", "图", "\0"])
def test_what_nobody_was_given_is_not_known(open_tokens, token):
    tokens = open_tokens()
    tokens.put(face())
    assert get(tokens, token) is None


def test_a_killed_gateway_has_forgotten_nothing_that_it_wrote(file, open_tokens):
    given = [new_token() for _ in range(200)]
    code = f"""
import time
from pathlib import Path
import numpy as np
from gateway.backends.face_tokens import KnownFace, FaceTokens
tokens = FaceTokens(Path({str(file)!r}), 3600, 1000)
for token in {given!r}:
    embedding = np.ones(4, np.float32)
    tokens.put(KnownFace(token, "shop", "recogniser", embedding, {{}}, 1.0, None, None, None))
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        assert wait_until(lambda: rows(file) == len(given) or process.poll() is not None, 60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    tokens = open_tokens()
    assert all(get(tokens, token) is not None for token in given)


def test_a_token_ends_after_its_time_also_over_a_restart(open_tokens, monkeypatch):
    first = open_tokens(seconds=60)
    old, new = face(), face()
    first.put(old)
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 50)
    first.put(new)
    assert get(first, old.token) is old
    monkeypatch.setattr(module.time, "time", lambda: now + 61)
    assert get(first, old.token) is None
    assert get(first, new.token) is new
    first.close()
    second = open_tokens(seconds=60)
    assert get(second, old.token) is None
    assert get(second, new.token) is not None


def test_what_has_ended_is_deleted_from_the_file(file, open_tokens, monkeypatch):
    first = open_tokens(seconds=60)
    old = face(seed=1)
    first.put(old)
    first.close()
    now = time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 61)
    second = open_tokens(seconds=60)
    second.put(face(seed=2))
    assert wait_until(lambda: rows(file) == 1, SOON_S)
    second.close()
    assert old.embedding.tobytes() not in file.read_bytes()
    assert vectors(1, 2)[0].tobytes() in file.read_bytes()


def test_the_oldest_go_where_there_are_too_many(file, open_tokens):
    first = open_tokens(most=3)
    known = [face() for _ in range(5)]
    for one in known:
        first.put(one)
    first.close()
    assert rows(file) == 3
    second = open_tokens(most=3)
    for tokens in (second, open_tokens(most=2)):
        assert [get(tokens, one.token) is not None for one in known] == [False] * 2 + [True] * 3
    second.put(face())
    second.close()
    assert rows(file) == 3


def test_memory_is_bounded_and_what_left_it_is_found_in_the_file(open_tokens, monkeypatch):
    monkeypatch.setattr(module, "_MOST_RECENT", 10)
    tokens = open_tokens()
    known = [face() for _ in range(50)]
    for one in known:
        tokens.put(one)
    assert wait_until(lambda: not tokens._waiting, SOON_S)
    assert len(tokens._recent) == 10
    assert all(get(tokens, one.token) for one in known)


def test_nobody_else_may_read_the_file(file, open_tokens):
    tokens = open_tokens()
    tokens.put(face())
    tokens.close()
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0


def test_a_full_disk_costs_a_warning_and_nothing_is_lost_in_memory(
    file, open_tokens, monkeypatch, caplog
):
    monkeypatch.setattr(module, "_RETRY_S", (0.01, 0.02))
    write = TokenFile.write

    def full(self, entries):
        # Beyond so many pages SQLite does as on a full disk.
        self._open().execute("PRAGMA max_page_count = 1")
        write(self, entries)

    monkeypatch.setattr(TokenFile, "write", full)
    tokens = open_tokens()
    known = [face() for _ in range(300)]
    with caplog.at_level(logging.WARNING, "gateway.backends.face_tokens"):
        for one in known:
            tokens.put(one)
        assert wait_until(lambda: "written" in tokens._complaints, SOON_S)
        assert all(get(tokens, one.token) is one for one in known)
    complaints = [one for one in caplog.records if one.name == "gateway.backends.face_tokens"]
    assert [record.message for record in complaints] == [
        "face tokens cannot be written: database or disk is full"
    ]
    monkeypatch.setattr(TokenFile, "write", write)
    assert wait_until(lambda: rows(file) == len(known), SOON_S)


def test_what_cannot_be_written_for_long_does_not_fill_the_memory(file, open_tokens, monkeypatch):
    for name, most in (("_MOST_WAITING", 20), ("_MOST_RECENT", 5)):
        monkeypatch.setattr(module, name, most)
    file.parent.parent.joinpath("data").write_text("no folder")
    tokens = open_tokens()
    known = [face() for _ in range(50)]
    for one in known:
        tokens.put(one)
    assert [get(tokens, one.token) is not None for one in known] == [False] * 30 + [True] * 20


def test_a_locked_file_is_written_when_it_is_free_again(file, open_tokens, monkeypatch):
    monkeypatch.setattr(module, "_RETRY_S", (0.01, 0.02))
    tokens = open_tokens()
    tokens.put(face())
    assert wait_until(lambda: rows(file) == 1, SOON_S)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        tokens.put(known := face())
        assert get(tokens, known.token) is known
        assert wait_until(lambda: "written" in tokens._complaints, SOON_S)
        other.execute("ROLLBACK")
    assert wait_until(lambda: rows(file) == 2, SOON_S)


def test_a_damaged_file_is_set_aside(file, open_tokens, caplog):
    file.parent.mkdir()
    file.write_bytes(b"no database at all. " * 1000)
    with caplog.at_level(logging.WARNING, "gateway.backends.face_tokens"):
        tokens = open_tokens()
        known = face()
        tokens.put(known)
        assert get(tokens, "0" * 32) is None
        assert wait_until(lambda: rows(file) == 1, SOON_S)
    assert file.with_name("tokens.db.damaged").read_bytes().startswith(b"no database")
    assert any("are lost" in record.message for record in caplog.records)
    tokens.close()
    assert get(open_tokens(), known.token) is not None


def test_a_file_that_was_deleted_is_made_anew(file, open_tokens):
    tokens = open_tokens()
    tokens.put(face())
    assert wait_until(lambda: rows(file) == 1, SOON_S)
    for path in file.parent.iterdir():
        path.unlink()
    known = face()
    tokens.put(known)
    tokens.close()
    assert get(open_tokens(), known.token) is not None
