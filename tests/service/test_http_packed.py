"""Bodies packed by Content-Encoding, on both ports: taken within the limits, or refused."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from tests.support.gateway.client import still_there
from tests.support.gateway.http_ports import Port

JSON = "application/json"


def packed_raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZip", gzip.compress),
        ("identity, gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", packed_raw),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_a_packed_body_is_taken(port, encoding, pack):
    answer = port.post(pack(port.body), content_encoding=encoding, content_type=JSON)
    assert answer.status_code == 200
    assert port.is_good(answer.content)


def test_a_packed_body_in_chunks_is_taken(port):
    packed = gzip.compress(port.body)
    parts = (packed[start : start + 500] for start in range(0, len(packed), 500))
    assert port.is_good(port.post(parts, content_encoding="gzip").content)


def refusal(port: Port, content: Any, encoding: str) -> tuple[int, int]:
    """The status and the error's number."""
    answer = port.post(content, content_encoding=encoding)
    return answer.status_code, answer.json()[port.code]


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, deflate", "x"])
def test_a_body_that_is_packed_in_another_way_is_refused_with_a_reason(port, encoding):
    expected = (415, 5008) if port.code == "err_no" else (200, 216100)
    assert refusal(port, port.body, encoding) == expected
    answer = port.post(port.body, content_encoding=encoding)
    assert "gzip or deflate" in answer.text
    assert port.code != "err_no" or answer.headers["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[:-1],
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed[:1],
        lambda packed: packed + b"more",
        lambda packed: packed + packed,
        lambda packed: packed[:-8] + bytes(8),
        lambda packed: b"what is this",
    ],
    ids=["a byte", "the half", "all but one", "more", "twice", "checksum", "not packed"],
)
def test_a_packed_body_that_is_not_whole_is_refused_with_a_reason(port, spoil):
    expected = (400, 5008) if port.code == "err_no" else (200, 216100)
    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        answer = port.post(spoil(pack(port.body)), content_encoding=encoding)
        assert (answer.status_code, answer.json()[port.code]) == expected
        assert "packed" in answer.text


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_unpacks_to_more_than_one_may_have_is_refused(port, encoding, service):
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    bomb = pack(bytes(70_000_000))
    expected = (413, 5006) if port.code == "err_no" else (200, 222304)
    assert refusal(port, bomb, encoding) == expected
    still_there(service)
