"""The indexes in memory under random operations, and searched while they change."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from library.index.memory.approximate import ApproximateIndex
from library.index.memory.exact import ExactIndex
from library.index.memory.restoring import restore
from library.index.vector_index import Collection
from tests.support.libraries.index_reference import TOLERANCE, Reference, unit

DIM = 8
COLLECTION = Collection(1, "m", DIM)
# Few vectors, so that many faces are equal: random ones, the axes, and one against another.
POOL = np.concatenate(
    [unit(np.random.default_rng(0), 20, DIM), np.eye(DIM, dtype=np.float32), -np.eye(1, DIM)]
).astype(np.float32)

IDS = st.lists(st.integers(0, 300), min_size=1, max_size=60)
GROUPS = st.none() | st.lists(st.integers(0, 4), max_size=3)


class RandomOperations(RuleBasedStateMachine):
    """Adds, replaces, removes, searches, saves and loads, side by side with the reference."""

    storage = "float32"
    complete = True

    def __init__(self) -> None:
        super().__init__()
        self.index = self.make()
        self.reference = Reference(DIM)
        self.version = 0

    def make(self) -> ExactIndex:
        return ExactIndex(COLLECTION, self.storage, block_rows=32)

    @property
    def slack(self) -> float:
        return TOLERANCE[self.storage]

    @rule(ids=IDS, seed=st.integers(0, 2**16))
    def add(self, ids: list[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        persons = rng.integers(0, 40, len(ids))
        vectors = POOL[rng.integers(0, len(POOL), len(ids))]
        self.version += 1
        self.index.add(np.array(ids), persons, persons % 5, vectors, self.version)
        self.reference.add(ids, persons.tolist(), (persons % 5).tolist(), vectors)

    @rule(ids=IDS)
    def remove(self, ids: list[int]) -> None:
        self.version += 1
        self.index.remove(np.array(ids), self.version)
        self.reference.remove(ids)

    @rule(queries=st.integers(1, 9), k=st.integers(1, 50), groups=GROUPS, seed=st.integers(0, 99))
    def search(self, queries: int, k: int, groups: list[int] | None, seed: int) -> None:
        probes = unit(np.random.default_rng(seed), queries, DIM)
        hits = self.index.search(probes, k, groups)
        self.reference.check(hits, probes, k, groups, self.slack, self.complete)

    @rule()
    def save_and_load(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a"
            self.index.save(path)
            loaded = self.make()
            loaded.version = restore(loaded.table, COLLECTION, path)
            self.index = loaded

    @invariant()
    def content_is_the_same(self) -> None:
        assert self.index.version == self.version
        self.reference.check_content(self.index, self.slack)


class RandomOperationsFp16(RandomOperations):
    storage = "fp16"


class RandomOperationsSq8(RandomOperations):
    storage = "sq8"


class RandomOperationsApproximate(RandomOperations):
    """All faces are candidates, so even this index finds the best."""

    def make(self) -> ExactIndex:
        return ApproximateIndex(
            COLLECTION, self.storage, candidates=1000, approximate_from=1, block_rows=32
        )


class RandomOperationsFewCandidates(RandomOperations):
    """So few candidates that most faces are left out: who is found is right all the same."""

    complete = False

    def make(self) -> ExactIndex:
        return ApproximateIndex(
            COLLECTION, self.storage, candidates=16, approximate_from=1, block_rows=32
        )


for machine in (
    RandomOperations,
    RandomOperationsFp16,
    RandomOperationsSq8,
    RandomOperationsApproximate,
    RandomOperationsFewCandidates,
):
    machine.TestCase.settings = settings(
        max_examples=25,
        stateful_step_count=30,
        suppress_health_check=list(HealthCheck),
    )

TestExactFloat32 = RandomOperations.TestCase
TestExactFp16 = RandomOperationsFp16.TestCase
TestExactSq8 = RandomOperationsSq8.TestCase
TestApproximate = RandomOperationsApproximate.TestCase
TestFewCandidates = RandomOperationsFewCandidates.TestCase


def changing(change: Callable[[int], None], search: Callable[[], None], seconds: float) -> None:
    """Make changes in another thread while searches run, for so long and a few searches at least.

    What either raises is raised here.
    """
    failures: list[BaseException] = []
    end = threading.Event()

    def writer() -> None:
        step = 0
        try:
            while not end.is_set():
                change(step)
                step += 1
        except BaseException as error:  # noqa: BLE001 - it is raised again below
            failures.append(error)

    thread = threading.Thread(target=writer)
    thread.start()
    searches = 0
    try:
        limit = time.monotonic() + seconds
        while (time.monotonic() < limit or searches < 5) and not failures:
            search()
            searches += 1
    finally:
        end.set()
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.parametrize("kind", [ExactIndex, ApproximateIndex])
@pytest.mark.parametrize("queries", [1, 16])
def test_who_is_there_all_the_time_is_found_all_the_time(
    kind: type[ExactIndex], queries: int
) -> None:
    """Others come, go, are replaced, and their blocks are made, filled, exchanged and moved."""
    dim = 32
    collection = Collection(1, "m", dim)
    index = kind(collection, block_rows=256)
    if isinstance(index, ApproximateIndex):
        index.approximate_from = 1
    rng = np.random.default_rng(0)
    steady = np.arange(0, 4000, 40)
    faces = unit(rng, len(steady), dim)
    pictures = faces + 0.05 * unit(rng, len(steady), dim)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    others = np.setdiff1d(np.arange(4000), steady)
    index.add(steady, steady, steady % 3, faces, 1)

    def change(step: int) -> None:
        chosen = others[step * 97 % len(others) :][:150]
        if step % 3 == 2:
            index.remove(chosen, step)
        else:
            index.add(chosen, chosen, chosen % 3, unit(rng, len(chosen), dim), step)
        if step % 10 == 0:
            # Given again with another picture of the same person, then with the first.
            index.add(steady, steady, steady % 3, pictures, step)
            index.add(steady, steady, steady % 3, faces, step)

    turn = np.random.default_rng(1)

    def search() -> None:
        chosen = turn.integers(0, len(steady), queries)
        hits = index.search(faces[chosen], 3)
        assert np.array_equal(hits.persons[:, 0], steady[chosen])
        assert (hits.scores[:, 0] > 0.99).all()
        assert (hits.scores[:, 0] < 1.001).all()

    changing(change, search, 2.0)


def test_what_was_added_is_found_by_the_next_search_and_what_was_removed_is_not() -> None:
    index = ExactIndex(COLLECTION, block_rows=64)
    vectors = unit(np.random.default_rng(0), 400, DIM)
    for id_, vector in enumerate(vectors):
        one = np.array([id_])
        index.add(one, one, one, vector[None], id_)
        assert index.search(vector[None], 1).entries[0, 0] == id_
        if id_ % 2:
            index.remove(one, id_)
            assert index.search(vector[None], 1).entries[0, 0] != id_


def test_a_snapshot_taken_amid_changes_is_whole(tmp_path: Path) -> None:
    index = ExactIndex(COLLECTION, "float32", block_rows=128)
    steady = np.arange(1000)
    faces = unit(np.random.default_rng(0), 1000, DIM)
    index.add(steady, steady, steady, faces, 1)

    def change(step: int) -> None:
        ids = 5000 + np.arange(step * 50, step * 50 + 50) % 2000
        index.add(ids, ids, ids, faces[:50], step)
        index.remove(ids[::3], step)

    def save() -> None:
        index.save(tmp_path / "a")
        loaded = ExactIndex.load(tmp_path / "a", COLLECTION, storage="float32", block_rows=128)
        assert np.array_equal(loaded.vectors_of(steady), faces)

    changing(change, save, 2.0)
