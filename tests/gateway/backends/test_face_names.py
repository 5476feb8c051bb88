"""Face tokens that are made of the picture."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from client.pipeline.wire import FaceSeen, PictureSeen
from gateway.backends import face_names as module
from gateway.backends.face_names import FaceNames
from gateway.errors import ApiError, ErrorCode
from tests.support.pictures import base64_of

KEY, OTHER_KEY = bytes(32), bytes(31) + b"\1"
IMAGE = base64_of(bytes(range(256)) * 4)
BOX = (100.0, 50.0, 180.0, 150.0)


class Keeper:
    """In the place of the library: tells a key, or that the database is away."""

    def __init__(self, key: bytes = KEY) -> None:
        self.key = key
        self.away = False
        self.asked = 0

    async def call(self, work: Any) -> bytes:
        self.asked += 1
        if self.away:
            raise ApiError(ErrorCode.DATABASE)
        return bytes(work(SimpleNamespace(store=SimpleNamespace(token_key=lambda: self.key))))


def seen(*boxes: Sequence[float], width: int = 640, height: int = 480) -> PictureSeen:
    one = FaceSeen((0, 0, 0, 0), 0.9, None, None, {}, None, None, None, None, None)
    faces = tuple(replace(one, box=tuple(box)) for box in boxes)
    return PictureSeen(width, height, faces)


def names(
    *boxes: Sequence[float],
    image: str = IMAGE,
    app: str = "shop",
    key: bytes = KEY,
    aligned: bool = False,
) -> list[str]:
    async def ask() -> list[str]:
        names = FaceNames(Keeper(key))  # type: ignore[arg-type]
        return await names.of(app, image, seen(*boxes), aligned, 20.0)

    return asyncio.run(ask())


def test_the_same_face_of_the_same_picture_has_the_same_token():
    (first,), (second,) = names(BOX), names(BOX)
    assert first == second
    assert re.fullmatch("[0-9a-f]{32}", first)


def test_whatever_else_differs_makes_another_token():
    elsewhere = (300.0, 50.0, 380.0, 150.0)
    found = [
        *names(BOX),
        *names(elsewhere),
        *names(BOX, image=base64_of(bytes(range(256)) * 5)),
        *names(BOX, app="bank"),
        *names(BOX, key=OTHER_KEY),
        *names(BOX, aligned=True),
    ]
    assert len(set(found)) == len(found)


def test_a_picture_is_known_by_its_bytes_not_by_how_they_are_written():
    lines = "\n".join(IMAGE[n : n + 76] for n in range(0, len(IMAGE), 76))
    safe = IMAGE.replace("+", "-").replace("/", "_").rstrip("=")
    assert safe != IMAGE
    large = base64_of(bytes(3 * 1024 * 1024))
    assert names(BOX, image=lines) == names(BOX, image=safe) == names(BOX)
    assert names(BOX, image=large) == names(BOX, image=large) != names(BOX)


def test_a_token_does_not_depend_on_how_many_faces_are_asked_for():
    boxes = [(n * 60.0, 40.0, n * 60.0 + 50, 100.0) for n in range(8)]
    every = names(*boxes)
    assert len(set(every)) == 8
    assert [names(*boxes[:most]) for most in (1, 3)] == [every[:1], every[:3]]


def test_faces_that_lie_over_each_other_have_tokens_of_their_own():
    first, second = names(BOX, tuple(edge + 0.5 for edge in BOX))
    assert first != second
    assert names(BOX) == [first]


@pytest.mark.parametrize("centre", [None, 320.0])
def test_the_last_bits_of_a_box_do_not_make_another_token(centre):
    """Nor do they where a face is in the very middle, as in pictures that programs make."""
    rng = np.random.default_rng(1)
    changed = 0
    for number in range(300):
        x, y = (centre, centre) if centre else rng.uniform(50, 400, 2)
        image = base64_of(b"%d" % number)
        box = np.array([x - 40, y - 50, x + 40, y + 50])
        noisy = box + rng.choice([-1e-4, 1e-4], 4)
        changed += names(box, image=image) != names(noisy, image=image)
    assert changed == 0


def test_the_key_is_read_again_now_and_then_and_its_absence_is_bridged(monkeypatch):
    monkeypatch.setattr(module, "_FRESH_S", 0.0)

    async def ask() -> None:
        keeper = Keeper()
        names = FaceNames(keeper)  # type: ignore[arg-type]

        async def of() -> str:
            (name,) = await names.of("shop", IMAGE, seen(BOX), False, 20.0)
            return name

        keeper.away = True
        assert await of() != await of(), "drawn, since nobody knows the key"
        keeper.away = False
        first = await of()
        assert await of() == first
        keeper.away = True
        assert await of() == first
        keeper.away, keeper.key = False, OTHER_KEY  # a library was restored
        for _ in range(100):
            if await of() != first:
                break
            await asyncio.sleep(0.01)
        assert await of() != first

    asyncio.run(ask())


def test_the_key_is_not_asked_for_with_every_picture():
    async def ask() -> int:
        keeper = Keeper()
        names = FaceNames(keeper)  # type: ignore[arg-type]
        for _ in range(50):
            await names.of("shop", IMAGE, seen(BOX), False, 20.0)
        return keeper.asked

    assert asyncio.run(ask()) < 25
