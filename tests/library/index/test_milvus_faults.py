"""What becomes of the index in Milvus when the server, the network or the file lets it down."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from pymilvus import utility

from library.errors import IndexUnavailableError
from library.index.milvus import connection as milvus_connection
from library.index.milvus.connection import REQUEST, MilvusConnection
from library.index.milvus.index import MilvusIndex
from runtime.ports import free_ports
from tests.conftest import ROOT
from tests.library.index.test_milvus import Faces, assert_same
from tests.support.libraries.milvus_server import HASTY_S, USER_TOKEN, MilvusServer
from tests.support.processes.cable import Cable
from tests.support.service import wait_until


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What is not there is not waited for for long."""
    monkeypatch.setattr(milvus_connection, "CONNECT_S", 1)


@pytest.fixture
def cable(milvus_server: MilvusServer) -> Iterator[Cable]:
    """The way to the server."""
    cable = Cable(milvus_server.port)
    yield cable
    cable.cut()


@pytest.fixture
def index_at_the_cable(cable, open_index):
    return open_index(f"http://127.0.0.1:{cable.port}", app=2_000_000)


@pytest.fixture
def emptied(index_at_the_cable):
    """An index on the server behind the cable, with nothing in it."""
    index = index_at_the_cable
    index.remove(index.ids(), index.version + 1)
    return index


def works(action) -> bool:
    try:
        action()
    except IndexUnavailableError:
        return False
    return True


def add_again_and_again(faces: Faces, index: MilvusIndex) -> None:
    while True:
        faces.add_to(index)


def test_a_server_that_was_away_is_used_again_when_it_is_back(cable, emptied):
    faces = Faces(20)
    faces.add_to(emptied, slice(10))
    version = emptied.version
    cable.cut()
    for attempt in (
        lambda: emptied.search(faces.vectors, 1),
        lambda: faces.add_to(emptied, slice(10, 20)),
        lambda: emptied.remove(faces.ids[:1], version + 1),
        emptied.refresh,
        emptied.ids,
    ):
        with pytest.raises(IndexUnavailableError) as error:
            attempt()
        assert error.value.code == "index_unavailable"
    assert emptied.version == version
    cable.mend()
    assert wait_until(lambda: works(lambda: faces.add_to(emptied, slice(10, 20))), 20)
    assert_same(emptied.search(faces.vectors, 3), faces.hits(faces.vectors, 3))


def test_entries_that_were_cut_off_halfway_are_whole_after_adding_them_again(cable, emptied):
    faces = Faces(20_000)
    cutting = threading.Timer(0.1, cable.cut)
    cutting.start()
    with pytest.raises(IndexUnavailableError):
        add_again_and_again(faces, emptied)
    cutting.join()
    cable.mend()
    assert wait_until(lambda: works(lambda: faces.add_to(emptied)), 20)
    assert emptied.ids().tolist() == faces.ids.tolist()


def test_tombstones_are_looked_for_later_where_the_server_went_away_meanwhile(cable, emptied):
    faces = Faces(4)
    read_at = emptied.version + 1
    faces.add_to(emptied, slice(2))
    emptied.remove(faces.ids[:1], emptied.version + 1)
    emptied.add(faces.ids[:1], faces.persons[:1], faces.groups[:1], faces.vectors[:1], read_at)
    cable.cut()
    assert not works(lambda: faces.add_to(emptied, slice(2, 3)))
    cable.mend()
    assert wait_until(lambda: works(lambda: faces.add_to(emptied, slice(2, 4))), 20)
    assert wait_until(lambda: emptied.ids().tolist() == faces.ids[1:].tolist(), 10)


def test_a_server_that_stands_still_is_an_error_in_time(milvus_server, emptied, monkeypatch):
    faces = Faces(2)
    faces.add_to(emptied)
    monkeypatch.setitem(REQUEST, "timeout", 1.0)
    milvus_server.signal(signal.SIGSTOP)
    try:
        with pytest.raises(IndexUnavailableError, match="in time"):
            emptied.search(faces.vectors, 1)
    finally:
        milvus_server.signal(signal.SIGCONT)
    assert wait_until(lambda: works(lambda: emptied.search(faces.vectors, 1)), 20)


@pytest.mark.parametrize("place", ["http://127.0.0.1:{free}", "http://", "http://no.invalid:19530"])
def test_a_place_where_no_server_is_is_an_error(place, open_index):
    with pytest.raises(IndexUnavailableError):
        open_index(place.format(free=free_ports()[0]))


def test_a_server_with_accounts_takes_the_right_token_only(tmp_path):
    server = MilvusServer(tmp_path / "server", accounts=True).start()
    try:
        for token in ("", "root:wrong", "neither"):
            connection = MilvusConnection.open(server.url, token)
            with pytest.raises(IndexUnavailableError, match="milvus_token") as error:
                connection.call(lambda: None)
            assert token not in str(error.value) or not token
            connection.close()
        connection = MilvusConnection.open(server.url, USER_TOKEN)
        assert connection.call(lambda: utility.list_collections(using=connection.alias)) == []
        connection.close()
    finally:
        server.kill()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_what_a_killed_server_has_acknowledged_is_there_when_it_is_back(tmp_path, open_index):
    server = MilvusServer(tmp_path / "server", session_s=HASTY_S).start()
    try:
        index = open_index(server.url)
        faces = Faces(20_000)
        acknowledged: list[int] = []

        def add() -> None:
            for row in range(20_000):
                if not works(lambda: faces.add_to(index, slice(row, row + 1))):  # noqa: B023
                    return
                acknowledged.append(row)

        adding = threading.Thread(target=add)
        adding.start()
        assert wait_until(lambda: len(acknowledged) > 100, 30)
        server.kill()
        adding.join()
        assert not works(lambda: index.search(faces.vectors[:1], 1))
        server.start()
        # The server waits for the sessions of its dead parts to end.
        assert wait_until(lambda: not server.runs() or works(index.ids), 240)
        if not server.runs():
            pytest.skip("the server has ended itself: this machine stood still for too long")
        assert set(faces.ids[acknowledged].tolist()) <= set(index.ids().tolist())
        assert index.version >= len(acknowledged)
        faces.add_to(index)
        assert index.ids().tolist() == faces.ids.tolist()
    finally:
        server.kill()


def lite_process(file: Path) -> psutil.Process:
    children = psutil.Process().children(recursive=True)
    return next(child for child in children if str(file) in child.cmdline())


def test_milvus_lite_is_started_again_where_its_process_was_killed(tmp_path, open_index):
    index = open_index(str(tmp_path / "faces.db"))
    faces = Faces(5)
    faces.add_to(index)
    lite_process(tmp_path / "faces.db").kill()
    assert_same(index.search(faces.vectors, 2), faces.hits(faces.vectors, 2))


def test_the_folder_of_milvus_lites_file_is_made(tmp_path, open_index):
    index = open_index(str(tmp_path / "new" / "folder" / "faces.db"))
    assert len(index) == 0


OTHER = """
import sys
from library.errors import IndexUnavailableError
from library.index.vector_index import Collection
from library.index.milvus import connection as milvus_connection
from library.index.milvus.index import MilvusIndex
try:
    index = MilvusIndex(Collection(2, "a-model", 16, "the-first"), sys.argv[1])
except IndexUnavailableError as error:
    sys.exit(str(error))
print("open", flush=True)
sys.stdin.read()
"""


def start_other(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OTHER, str(file)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_milvus_lites_file_is_one_processs_at_a_time(tmp_path, open_index):
    file = tmp_path / "faces.db"
    index = open_index(str(file))
    for _ in range(2):  # Lite by itself lets the second attempt in
        other = start_other(file)
        output, errors = other.communicate(timeout=60)
        assert (other.returncode, output) == (1, "")
        assert "Another process" in errors
    faces = Faces(3)
    faces.add_to(index)
    assert len(index) == 3


def test_milvus_lites_file_is_free_again_when_its_process_was_killed(tmp_path, open_index):
    file = tmp_path / "faces.db"
    other = start_other(file)
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    other.kill()
    other.communicate()
    assert wait_until(lambda: works(lambda: open_index(str(file))), 10)


def test_files_that_milvus_lite_cannot_have_are_refused(tmp_path, open_index):
    (tmp_path / "directory.db").mkdir()
    (tmp_path / "text.db").write_text("no database" * 1000)
    (tmp_path / "file").write_text("")
    for name, fault in (
        ("directory.db", "directory"),
        ("text.db", "another kind"),
        ("faces", r"\.db at its end"),
        ("ä.db", "letters"),
        (f"{'a' * 40}.db", "at most 36"),
        ("file/faces.db", "cannot be written"),
    ):
        with pytest.raises(IndexUnavailableError, match=fault):
            open_index(str(tmp_path / name))
    assert (tmp_path / "text.db").read_text().startswith("no database")


def test_where_milvus_lite_is_not_installed_a_servers_url_is_asked_for(
    tmp_path, open_index, monkeypatch
):
    monkeypatch.setitem(sys.modules, "milvus_lite.server", None)
    with pytest.raises(IndexUnavailableError, match="not installed here: a server's URL"):
        open_index(str(tmp_path / "faces.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_closed_index_does_not_connect_again(tmp_path, open_index):
    index = open_index(str(tmp_path / "faces.db"))
    index.close()
    index.close()
    with pytest.raises(IndexUnavailableError, match="closed"):
        index.search(np.eye(16, dtype=np.float32)[:1], 1)
