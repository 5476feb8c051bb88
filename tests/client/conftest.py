"""Both clients, each with a small server to talk to."""

from __future__ import annotations

import pytest

from client.cli import scripts as cli
from tests.client.fake_service import CLIENTS, FakeHttp, FakeRpc, encoded


@pytest.fixture(params=["http", "rpc"])
def way(request):
    return request.param


@pytest.fixture
def fake(way):
    server = FakeHttp() if way == "http" else FakeRpc()
    yield server
    server.stop()


@pytest.fixture
def run(way, fake):
    """Runs the client on arguments; gives the exit status."""

    def run_client(*arguments):
        client = CLIENTS[way]
        return cli.main(client, [client.flag, fake.address, *map(str, arguments)])

    return run_client


@pytest.fixture
def directory(tmp_path):
    """Three pictures of different width, one in a folder below, and a file that is none."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.png").write_bytes(encoded(20, 10))
    (tmp_path / "a.JPG").write_bytes(encoded(30, 10, ".jpg"))
    (tmp_path / "inner" / "c.webp").write_bytes(encoded(40, 10, ".webp"))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path
