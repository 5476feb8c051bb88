"""Packed bodies: what they unpack to counts as if it had been sent, and what is broken is told."""

from __future__ import annotations

import asyncio
import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web.test_uploads import SOON_S, Sender
from web.unpacking import (
    PIECE_BYTES,
    BrokenEncodingError,
    UnknownEncodingError,
    Unpacker,
    unpacker_of,
)
from web.uploads import FullError, TooLargeError, Uploads

ZEROS = gzip.compress(bytes(10_000_000))


def raw(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


PACKERS = {"gzip": gzip.compress, "deflate": zlib.compress, "raw": raw}


def unpacked(name: str, packed: bytes, step: int = 1 << 18) -> bytes:
    unpacker = Unpacker(is_gzip=name == "gzip")
    made = []
    for start in range(0, len(packed), step):
        made += unpacker.pieces(packed[start : start + step])
    unpacker.end()
    assert all(0 < len(piece) <= PIECE_BYTES for piece in made)
    return b"".join(made)


@given(
    st.sampled_from(list(PACKERS)),
    st.binary(max_size=300),
    st.integers(1, 4000),
    st.sampled_from([1, 2, 7, 16 * 1024, 1 << 18]),
)
def test_what_was_packed_comes_out_again(name, content, times, step):
    content = content * times
    assert unpacked(name, PACKERS[name](content), step) == content


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_pieces_of_any_size_come_out_whole(name, size):
    noise = random.Random(5).getrandbits(8 * size + 8).to_bytes(size + 1, "big")[:size]
    for content in (bytes(size), noise):
        assert unpacked(name, PACKERS[name](content)) == content


@given(st.sampled_from(list(PACKERS)), st.binary(max_size=2000), st.data())
def test_what_is_cut_off_or_has_something_behind_it_is_refused(name, content, data):
    packed = PACKERS[name](content)
    cut = data.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(BrokenEncodingError):
        unpacked(name, packed[:cut])
    with pytest.raises(BrokenEncodingError):
        unpacked(name, packed + b"x")


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=2000))
def test_noise_is_refused_or_unpacked_and_nothing_else_happens(name, noise):
    try:
        unpacked(name, noise)
    except BrokenEncodingError as error:
        told = str(error)
        assert "packed body" in told or "not packed" in told


def test_a_body_without_a_byte_needs_no_packing():
    assert unpacked("gzip", b"") == unpacked("deflate", b"") == b""


@pytest.mark.parametrize("values", [[], [b""], [b"identity"], [b" Identity , identity"]])
def test_a_body_that_comes_as_it_is_needs_no_unpacker(values):
    assert unpacker_of([(b"content-encoding", value) for value in values]) is None
    assert unpacker_of([(b"accept-encoding", b"gzip")]) is None


@pytest.mark.parametrize("values", [[b"br"], [b"gzip", b"gzip"], [b"deflate, gzip"], [b"\xff"]])
def test_another_packing_is_not_known(values):
    with pytest.raises(UnknownEncodingError):
        unpacker_of([(b"content-encoding", value) for value in values])


async def received(bodies: Uploads, sender: Sender) -> bytes:
    upload = bodies.begin()
    try:
        return bytes(await bodies.receive(upload, sender, SOON_S, unpacker=Unpacker(is_gzip=True)))
    finally:
        bodies.end(upload)


def test_a_body_is_unpacked_as_it_arrives():
    async def work() -> None:
        bodies = Uploads(4, 1000, 100)
        packed = gzip.compress(b"x" * 100)
        assert await received(bodies, Sender(packed)) == b"x" * 100
        assert await received(bodies, Sender(*(packed[n : n + 1] for n in range(len(packed)))))
        assert await received(bodies, Sender(b"")) == b""
        with pytest.raises(TooLargeError):
            await received(bodies, Sender(gzip.compress(b"x" * 101)))
        with pytest.raises(BrokenEncodingError):
            await received(bodies, Sender(packed[:-1]))

    asyncio.run(work())


def test_the_bytes_that_come_out_are_held_and_given_back():
    async def work() -> None:
        bodies = Uploads(4, 1_000_000, 600_000)
        upload = bodies.begin()
        packed = gzip.compress(bytes(600_000))
        await bodies.receive(upload, Sender(packed), SOON_S, unpacker=Unpacker(is_gzip=True))
        assert upload.held == 600_000
        with pytest.raises(FullError):
            await received(bodies, Sender(packed))
        bodies.end(upload)
        assert len(await received(bodies, Sender(packed))) == 600_000

    asyncio.run(work())


def test_a_bomb_is_given_up_where_it_reaches_the_limit_and_keeps_nobody_waiting():
    async def work() -> None:
        bodies = Uploads(4, 100_000_000, 1_000_000)
        others = 0
        bomb = asyncio.ensure_future(received(bodies, Sender(ZEROS)))
        while not bomb.done():
            others += 1
            await asyncio.sleep(0)
        with pytest.raises(TooLargeError):
            bomb.result()
        # Between two pieces the others have their turn.
        assert others >= 1_000_000 // PIECE_BYTES

    asyncio.run(work())
