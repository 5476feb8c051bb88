"""The database of keys is away: who is known goes on for a while, nobody unknown gets in."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.auth import key_cache
from gateway.auth.access import Access
from gateway.auth.key_cache import KeyCache
from gateway.auth.key_store import KeyStore
from library.errors import DatabaseError
from settings.library import LibraryConfig
from tests.support.gateway.access import (
    DATABASE,
    INVALID,
    LET_IN,
    at,
    becomes,
    config_in,
    error_of,
    keys_of,
)


@pytest.fixture
def at_once(monkeypatch):
    """Keys are looked up again at each request, also right after a failure."""
    monkeypatch.setattr(key_cache, "FRESH_S", 0.0)
    monkeypatch.setattr(key_cache, "PAUSE_S", 0.0)


def made(config):
    """Two keys, as clients send them."""
    store = keys_of(config)
    keys = [store.create("shop", "read") for _ in range(2)]
    store.close()
    return [f"{key.id}.{secret}" for key, secret in keys]


def test_a_server_that_is_away_keeps_no_known_key_out(postgresql, tmp_path, at_once):
    config = config_in(tmp_path, postgresql.new_database())
    known, other = made(config)
    with at(Access(config)) as client:
        assert error_of(client, known) == LET_IN
        postgresql.stop()
        try:
            assert error_of(client, known) == LET_IN
            assert error_of(client, known[:-1] + "x") == INVALID
            assert error_of(client, other) == DATABASE
        finally:
            postgresql.start()
        assert becomes(LET_IN, lambda: error_of(client, other))


def test_a_server_that_is_away_at_the_start_is_found_later(postgresql, tmp_path, at_once):
    config = config_in(tmp_path, postgresql.new_database())
    known, _ = made(config)
    with at(Access(config)) as client:
        postgresql.stop()
        try:
            assert error_of(client, known) == DATABASE
        finally:
            postgresql.start()
        assert becomes(LET_IN, lambda: error_of(client, known))


def test_a_file_that_is_away_is_not_made_anew(tmp_path, at_once):
    config = config_in(tmp_path)
    known, other = made(config)
    file, away = tmp_path / "faces.db", tmp_path / "away.db"
    with at(Access(config)) as client:
        assert error_of(client, known) == LET_IN
        file.rename(away)
        assert error_of(client, known) == LET_IN
        assert error_of(client, other) == DATABASE
        assert not file.exists(), "whoever puts it back finds its place free"
        away.rename(file)
        assert becomes(LET_IN, lambda: error_of(client, other))


def test_what_is_known_of_a_key_does_not_outlive_its_time(tmp_path, at_once, monkeypatch):
    config = config_in(tmp_path)
    known, _ = made(config)
    with at(Access(config)) as client:
        assert error_of(client, known) == LET_IN
        (tmp_path / "faces.db").rename(tmp_path / "away.db")
        assert error_of(client, known) == LET_IN
        monkeypatch.setattr(key_cache, "STALE_S", 0.0)
        assert error_of(client, known) == DATABASE


class Slow(KeyStore):
    """Keys whose database hangs when it is told to: no server here does that when asked."""

    hangs = False
    asked = 0

    def find(self, id_):
        self.asked += 1
        if self.hangs:
            time.sleep(0.5)
            raise DatabaseError("database_unavailable")
        return super().find(id_)


def test_a_database_that_hangs_is_waited_for_by_few(tmp_path, monkeypatch):
    monkeypatch.setattr(key_cache, "FRESH_S", 0.0)
    monkeypatch.setattr(key_cache, "WAIT_KNOWN_S", 0.05)
    store = Slow(LibraryConfig(database=f"sqlite:///{tmp_path}/faces.db"))
    key, _ = store.create("shop", "read")

    async def calls():
        cache = KeyCache(store)
        assert await cache.find(key.id) == key
        store.hangs, store.asked = True, 0
        for _ in range(50):
            assert await cache.find(key.id) == key
        assert store.asked == 1
        await cache.close()

    asyncio.run(calls())


def test_many_requests_at_once_look_a_key_up_once(tmp_path):
    store = Slow(LibraryConfig(database=f"sqlite:///{tmp_path}/faces.db"))
    key, _ = store.create("shop", "read")

    async def calls():
        cache = KeyCache(store)
        found = await asyncio.gather(*(cache.find(key.id) for _ in range(100)))
        assert found == [key] * 100
        assert store.asked == 1
        await cache.close()

    asyncio.run(calls())


def test_made_up_ids_drive_no_key_out_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(key_cache, "MOST", 20)
    store = KeyStore(LibraryConfig(database=f"sqlite:///{tmp_path}/faces.db"))
    key, _ = store.create("shop", "read")

    async def calls():
        cache = KeyCache(store)
        await cache.find(key.id)
        for number in range(50):
            assert await cache.find(f"ak_{number:024x}") is None
        assert cache.has(key.id)
        assert len(cache._known) == 1
        assert len(cache._unknown) == 20
        await cache.close()

    asyncio.run(calls())
