"""Libraries with something in them, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from library.errors import DatabaseError, LibraryError
from library.store.store import Store
from tests.support.libraries.faces import enrolment


def raises(code: str, kind: type[LibraryError] = LibraryError):
    """The error with a code; its message says what to do."""
    return pytest.raises(kind, check=lambda error: error.code == code)


BATCH = [enrolment("staff", f"new{seed}", seed) for seed in range(200)]


def fails(code: str):
    """The database's error with a code."""
    return raises(code, DatabaseError)


def one_user(store: Store) -> Store:
    """The store with a user of one face."""
    store.create_group("shop", "staff")
    store.enrol("shop", [enrolment("staff", "a", 1, token="t")])
    return store


def assert_only(store: Store, *users: str) -> None:
    """These users are there, nothing is half there, and the store works."""
    assert store.users("shop", "staff") == list(users)
    assert list(store.check()) == []
    store.enrol("shop", [enrolment("staff", "later", 2)])
    store.delete_user("shop", "later")


PNG = b"\x89PNG"


@pytest.fixture
def staffed(open_store: Callable[..., Store], database_url: str) -> Store:
    """Two groups with a shared user, and another app."""
    store = open_store(database_url, store_crops=True)
    for group in ("staff", "guests"):
        store.create_group("shop", group)
    faces = [
        enrolment(
            "staff", f"u{seed}", seed, f"info {seed}", token=f"t{seed}", crop=PNG + b"%d" % seed
        )
        for seed in range(5)
    ]
    store.enrol("shop", faces)
    store.copy_user("shop", "u1", "staff", "guests")
    store.create_group("bank", "staff")
    store.enrol("bank", [enrolment("staff", "other", 9, token="t1", model="another", dim=8)])
    return store


def content(store: Store, app: str = "shop") -> list[tuple[Any, ...]]:
    """Everything of an app that a user can see."""
    return [
        (
            one.group,
            one.user,
            one.info,
            one.face.token,
            one.face.model,
            one.face.embedding.tobytes(),
            one.face.created,
            one.crop,
        )
        for one in store.export(app, crops=True)
    ]


class AppIndexes:
    """An index without vectors' arithmetic: catches up as the real ones do."""

    def __init__(self, store: Store, app: str) -> None:
        self.store, self.app, self.version = store, app, 0
        self.entries: dict[int, tuple[Any, ...]] = {}

    def catch_up(self, limit: int = 10_000) -> AppIndexes:
        state = self.store.versions()[self.app]
        for batch in self.store.entries_after(state.id, self.version, limit, upto=state.version):
            assert len(batch) <= limit
            rows = zip(batch.ids, batch.persons, batch.groups, batch.vectors)
            self.entries.update((id_, (person, group, row)) for id_, person, group, row in rows)
        for removed in self.store.removals_after(state.id, self.version)[0]:
            self.entries.pop(removed, None)
        self.version = state.version
        return self

    def users(self) -> list[str]:
        described = self.store.describe_persons(self.app, [p for p, _, _ in self.entries.values()])
        return sorted(described[person].user for person, _, _ in self.entries.values())
