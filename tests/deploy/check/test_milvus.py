"""What the check says of Milvus: a real server, Milvus Lite, and what cannot be reached."""

from __future__ import annotations

import socket

from deploy.check.probes import milvus
from deploy.check.requirements import load
from runtime.ports import unused_ports
from settings.library import LibraryConfig
from tests.support.libraries.milvus_server import (  # noqa: F401 - one is a fixture
    USER_TOKEN,
    MilvusServer,
    milvus_server,
)

ITEMS = load().items
TOKEN = "root:open-sesame-1234"


def looked(uri: str, folder, token: str = "", **options) -> dict[str, tuple[str, str]]:
    """Each item's outcome and what was found."""
    index = {"kind": "milvus", "milvus_uri": uri, "milvus_token": token}
    config = LibraryConfig.model_validate({"folder": folder, "index": index})
    return {
        one.item.removeprefix("service.milvus").strip("_"): (
            ITEMS[one.item].outcome(one).value, one.found,
        )
        for one in milvus.probe(config, **options)
    }  # fmt: skip


def test_a_server_is_told_with_version_and_latency(milvus_server, tmp_path):  # noqa: F811
    found = looked(milvus_server.url, tmp_path)
    assert found[""] == ("pass", f"at {milvus_server.url}")
    assert found["version"][0] == "pass"
    assert found["version"][1].startswith("2.")
    assert found["rights"][0] == "pass"
    assert found["latency"][1].endswith(" ms for a call")


def test_a_server_that_is_not_there_is_a_failure_without_the_token(tmp_path):
    (port,) = unused_ports(1)
    found = looked(f"http://127.0.0.1:{port}", tmp_path, TOKEN)
    assert found[""][0] == "fail"
    assert "cannot be reached" in found[""][1]
    assert "open-sesame" not in str(found)
    assert found["latency"][0] == "not applicable"


def test_a_server_that_says_nothing_hangs_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = looked(uri, tmp_path, TOKEN, patience_s=0.5)
    assert found[""][0] == "fail"
    assert "gave no answer within 0.5 s" in found[""][1]


def test_without_a_place_the_setting_is_named(tmp_path):
    assert looked("", tmp_path)[""] == ("fail", "library.index.milvus_uri is empty")


def test_milvus_lite_is_not_started_for_a_look_at_it(tmp_path):
    found = looked("milvus.db", tmp_path)
    assert found[""] == ("pass", f"Milvus Lite, {tmp_path / 'milvus.db'}")
    assert found["rights"][0] == "pass"
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_is_refused_is_told_so_and_one_that_is_taken_passes(tmp_path):
    server = MilvusServer(tmp_path / "server", accounts=True).start()
    try:
        refused = looked(server.url, tmp_path, TOKEN)
        taken = looked(server.url, tmp_path, USER_TOKEN)
    finally:
        server.kill()
    assert refused[""] == ("fail", "it refuses the token")
    assert "open-sesame" not in str(refused)
    assert taken[""][0] == "pass"
    assert taken["rights"][0] == "pass"
