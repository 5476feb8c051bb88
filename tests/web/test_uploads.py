"""Bodies on their way in: shares of owners, budgets of bytes, and who makes room for whom."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from typing import Any

import pytest

from web import uploads
from web.json_text import MOST_VALUES, MOST_WIDE, parse_json
from web.turns import Turns
from web.uploads import FullError, GoneError, Quota, TooLargeError, TooSlowError, Uploads

SOON_S = 20.0


class Sender:
    """What a client has sent; `None` for one that goes no further."""

    def __init__(self, *parts: bytes | None, gone: bool = False) -> None:
        self._parts = list(parts)
        self._gone = gone

    async def __call__(self) -> dict[str, Any]:
        if not self._parts:
            return {"type": "http.disconnect"} if self._gone else await asyncio.Future()
        part = self._parts.pop(0)
        if part is None:
            await asyncio.Future()
        more = bool(self._parts) or self._gone
        return {"type": "http.request", "body": part, "more_body": more}


async def received(bodies: Uploads, sender: Sender, owner: str = "") -> bytes:
    upload = bodies.begin(owner)
    try:
        return bytes(await bodies.receive(upload, sender, SOON_S))
    finally:
        bodies.end(upload)


def test_an_owner_has_a_quarter_and_more_while_the_half_is_free():
    quota = Quota(100)
    assert quota.take("a", 50)
    assert not quota.take("a"), "the other half is for others"
    assert quota.take("b", 25)
    assert not quota.take("b")
    assert quota.take("", 25), "nobody in particular may have all"
    assert not quota.take("c")
    quota.give("a", 50)
    assert quota.taken == 50
    assert quota.take("b") is False, "it has its quarter, and the half is taken"
    assert quota.take("c", 25)


def test_one_body_always_fits_into_a_share():
    quota = Quota(100, least=60)
    assert quota.take("a", 60)


def test_a_body_of_many_parts_is_put_together():
    async def work() -> None:
        bodies = Uploads(4, 1000, 100)
        assert await received(bodies, Sender(b"ab", b"", b"c", b"de")) == b"abcde"
        assert await received(bodies, Sender(b"")) == b""
        with pytest.raises(TooLargeError):
            await received(bodies, Sender(bytes(60), bytes(60)))
        with pytest.raises(GoneError):
            await received(bodies, Sender(b"a", gone=True))

    asyncio.run(work())


def test_a_body_counts_until_its_request_has_been_answered():
    async def work() -> None:
        bodies = Uploads(4, 100, 100)
        first = bodies.begin()
        await bodies.receive(first, Sender(bytes(60)), SOON_S)
        with pytest.raises(FullError):
            await received(bodies, Sender(bytes(60)))
        bodies.end(first)
        bodies.end(first)
        assert len(await received(bodies, Sender(bytes(60)))) == 60

    asyncio.run(work())


def test_what_is_refused_makes_room_for_the_others():
    async def work() -> None:
        bodies = Uploads(8, 100, 100)
        senders = [Sender(*[bytes(10)] * 3) for _ in range(5)]
        sent = [received(bodies, sender) for sender in senders]
        answers = await asyncio.gather(*sent, return_exceptions=True)
        assert sum(isinstance(answer, FullError) for answer in answers) == 2

    asyncio.run(work())


def test_a_body_that_is_refused_is_gone_without_the_collector():
    async def work() -> None:
        bodies = Uploads(4, 10_000_000, 1_000_000)
        for _ in range(20):
            with pytest.raises(TooLargeError):
                await received(bodies, Sender(*[bytes(100_000)] * 11))

    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        asyncio.run(work())
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < 1_000_000, "less than one of them"


def test_where_there_is_no_room_a_body_that_stalls_is_given_up(monkeypatch):
    async def work() -> None:
        bodies = Uploads(2, 1000, 100)
        stalled = [asyncio.create_task(received(bodies, Sender(b"a", None))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            bodies.begin()
        monkeypatch.setattr(uploads, "PROGRESS_S", -1.0)
        assert await received(bodies, Sender(b"abc")) == b"abc"
        (given_up,), (going_on,) = await asyncio.wait(
            stalled, timeout=SOON_S, return_when=asyncio.FIRST_COMPLETED
        )
        with pytest.raises(TooSlowError):
            given_up.result()
        going_on.cancel()

    asyncio.run(work())


def test_an_owner_over_its_share_makes_room_of_its_own_only(monkeypatch):
    async def work() -> None:
        bodies = Uploads(4, 1000, 100)
        others = asyncio.create_task(received(bodies, Sender(b"a", None), "b"))
        own = asyncio.create_task(received(bodies, Sender(b"a", None), "a"))
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            bodies.begin("a")
        monkeypatch.setattr(uploads, "PROGRESS_S", -1.0)
        bodies.end(bodies.begin("a"))
        with pytest.raises(TooSlowError):
            await own
        assert not others.done()
        others.cancel()

    asyncio.run(work())


def test_large_work_is_done_one_after_the_other_and_waits_no_longer_than_it_may():
    async def work() -> None:
        turns = Turns()
        begun, end = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def block() -> int:
            loop.call_soon_threadsafe(begun.set)
            asyncio.run_coroutine_threadsafe(end.wait(), loop).result(SOON_S)
            return 1

        first = asyncio.create_task(turns.run(block, seconds=SOON_S))
        await begun.wait()
        with pytest.raises(asyncio.TimeoutError):
            await turns.run(lambda: 2, seconds=0.01)
        first.cancel()
        waiting = asyncio.create_task(turns.run(lambda: 3, seconds=SOON_S))
        await asyncio.sleep(0.01)
        assert not waiting.done(), "what was begun has not ended"
        end.set()
        assert await waiting == 3

    asyncio.run(work())


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"[" + b"0," * MOST_VALUES + b"0]", "more than 10000 values"),
        (b"{}" * 20_000, "more than 10000 values"),
        ('"\u00e9'.encode() + b"a" * MOST_WIDE + b'"', "not ASCII"),
        (b'{"\\u00e9' + b"a" * MOST_WIDE + b'": 0}', "not ASCII"),
        (b'["' + b"\\ud83d\\ude00" * (MOST_WIDE + 1) + b'"]', "not ASCII"),
        (b"{", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"1" * 1_000_000, "is not JSON"),
    ],
    ids=range(8),
)
def test_json_that_becomes_too_much_is_refused_with_a_sentence(body, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_json(body)


def test_json_within_the_limits_is_read_as_it_is():
    picture = "A" * 1_000_000
    values = {"image": picture, "user_info": "\u00e9" * 1000, "n": [1, 2.5, None, {"a": []}]}
    assert parse_json(json.dumps(values).encode()) == values
    assert parse_json(bytearray(b'{"a": 1, "a": 2}')) == {"a": 2}
