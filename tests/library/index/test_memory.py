"""The indexes in memory find the right persons, whatever was added, replaced and removed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from library.index.memory.approximate import ApproximateIndex
from library.index.memory.exact import ExactIndex
from library.index.memory.sketch import Sketch, Stack
from library.index.vector_index import Collection
from tests.support.libraries.index_reference import TOLERANCE, Reference, unit

DIM = 32
COLLECTION = Collection(1, "mobilefacenet_128", DIM)
STORAGES = ("float32", "fp16", "sq8")


def filled(
    index: ExactIndex, count: int, seed: int = 0, groups: int = 3, faces: int = 4
) -> Reference:
    """The index with random entries, of persons with several faces each; the same as reference."""
    rng = np.random.default_rng(seed)
    reference = Reference(index.collection.dim)
    ids = rng.permutation(count * 2)[:count]
    persons = rng.integers(0, max(1, count // faces), count)
    rows = (ids, persons, persons % groups, unit(rng, count, index.collection.dim))
    for start in range(0, count, 700):
        part = tuple(column[start : start + 700] for column in rows)
        index.add(*part, version=start + 1)
        reference.add(*part)
    return reference


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("queries", [1, 3, 40])
@pytest.mark.parametrize("groups", [None, [1], [0, 2], [7], []])
def test_the_best_persons_are_found(storage: str, queries: int, groups: list[int] | None) -> None:
    index = ExactIndex(COLLECTION, storage, block_rows=512)
    reference = filled(index, 3000)
    probes = unit(np.random.default_rng(1), queries, DIM)
    hits = index.search(probes, 7, groups)
    reference.check(hits, probes, 7, groups, TOLERANCE[storage])


def test_a_person_with_twenty_faces_is_one_hit() -> None:
    rng = np.random.default_rng(0)
    index = ExactIndex(COLLECTION, "float32")
    probe = unit(rng, 1, DIM)
    near = probe + 0.01 * rng.standard_normal((200, DIM))
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    # Ten persons of twenty faces each are all nearer than the hundred others.
    vectors = np.concatenate([near, unit(rng, 100, DIM)])
    persons = np.concatenate([np.arange(200) // 20, np.arange(100, 200)])
    ids = np.arange(300)
    index.add(ids, persons, np.zeros(300, np.int64), vectors, 1)
    hits = index.search(probe, 15)
    assert set(hits.persons[0, :10].tolist()) == set(range(10))
    reference = Reference(DIM)
    reference.add(ids, persons, [0] * 300, vectors)
    reference.check(hits, probe, 15, None, TOLERANCE["float32"])


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("queries", [1, 50])
def test_equal_scores_are_in_the_order_of_the_persons_ids(storage: str, queries: int) -> None:
    rng = np.random.default_rng(0)
    index = ExactIndex(COLLECTION, storage, block_rows=256)
    same = np.repeat(unit(rng, 1, DIM), 700, axis=0)
    persons = rng.permutation(700)
    index.add(np.arange(700), persons, np.zeros(700, np.int64), same, 1)
    index.add(np.arange(700, 1400), persons, np.zeros(700, np.int64), same, 2)
    hits = index.search(unit(rng, queries, DIM), 20)
    assert (hits.persons == np.arange(20)).all()
    assert (hits.scores == hits.scores[:, :1]).all()
    by_person = np.argsort(persons)
    assert (hits.entries == by_person[:20]).all()


def test_one_query_and_many_have_the_same_answers_bit_by_bit() -> None:
    index = ExactIndex(COLLECTION, block_rows=1024)
    filled(index, 5000)
    probes = unit(np.random.default_rng(1), 64, DIM)
    together = index.search(probes, 5)
    for row, probe in enumerate(probes):
        alone = index.search(probe[None], 5)
        assert np.array_equal(alone.scores[0], together.scores[row])
        assert np.array_equal(alone.persons[0], together.persons[row])
        assert np.array_equal(alone.entries[0], together.entries[row])


@pytest.mark.parametrize("kind", [ExactIndex, ApproximateIndex])
def test_more_persons_than_there_are_may_be_asked_for(kind: type[ExactIndex]) -> None:
    index = kind(COLLECTION)
    probe = unit(np.random.default_rng(1), 1, DIM)
    assert (index.search(probe, 3).persons == -1).all()
    reference = filled(index, 10)
    reference.check(index.search(probe, 100), probe, 100, None, TOLERANCE["fp16"])


def test_no_query_has_no_answer() -> None:
    index = ExactIndex(COLLECTION)
    filled(index, 10)
    assert index.search(np.empty((0, DIM), np.float32), 3).persons.shape == (0, 3)


def test_an_id_that_is_added_again_is_replaced() -> None:
    rng = np.random.default_rng(0)
    index = ExactIndex(COLLECTION, "float32", block_rows=128)
    reference = filled(index, 1000)
    ids = index.ids()[::3]
    new = (ids, ids + 5000, np.full(len(ids), 9), unit(rng, len(ids), DIM))
    index.add(*new, version=7)
    reference.add(*new)
    reference.check_content(index, 0)
    probes = unit(rng, 10, DIM)
    reference.check(index.search(probes, 5), probes, 5, None, 1e-6)
    reference.check(index.search(probes, 5, [9]), probes, 5, [9], 1e-6)


def test_adding_the_same_again_changes_nothing() -> None:
    index = ExactIndex(COLLECTION, "fp16")
    reference = filled(index, 500)
    rows = len(index.table.view)
    filled(index, 500)
    assert len(index.table.view) == rows
    reference.check_content(index, TOLERANCE["fp16"])


def test_of_an_id_twice_in_one_batch_the_last_counts() -> None:
    index = ExactIndex(COLLECTION, "float32")
    vectors = unit(np.random.default_rng(0), 3, DIM)
    index.add(np.array([4, 5, 4]), np.array([1, 2, 3]), np.zeros(3, np.int64), vectors, 1)
    assert index.ids().tolist() == [4, 5]
    assert np.array_equal(index.vectors_of(np.array([4])), vectors[2:])
    assert index.search(vectors[2:], 1).persons.tolist() == [[3]]


def test_removed_entries_are_found_no_more_and_leave_no_trace() -> None:
    index = ApproximateIndex(COLLECTION, "float32", approximate_from=1, block_rows=1024)
    reference = filled(index, 2500)
    block = index.table.view.blocks[0]
    assert block.sketch is not None
    gone = block.entries.ids[:50].copy()
    index.remove(np.append(gone, 10**9), 8)
    reference.remove(gone)
    reference.check_content(index, 0)
    assert not block.entries.codes[:50].any()
    assert len(np.unique(block.sketch.codes_of(np.arange(50)), axis=0)) == 1
    assert np.isnan(index.vectors_of(gone)).all()
    probes = unit(np.random.default_rng(3), 4, DIM)
    reference.check(index.search(probes, 2500), probes, 2500, None, 1e-6)


def test_a_stack_of_sketches_finds_what_each_of_them_finds() -> None:
    rng = np.random.default_rng(4)
    sketches = [Sketch.of(unit(rng, rows, DIM)) for rows in (300, 500, 200)]
    stack, probes = Stack(sketches), unit(rng, 3, DIM)
    assert len(stack) == 1000
    scores, rows = stack.search(probes, 1000)
    assert np.array_equal(np.sort(rows), np.tile(np.arange(1000), (3, 1)))
    by_row = np.take_along_axis(scores, np.argsort(rows), axis=1)
    for sketch, start in zip(sketches, (0, 300, 800)):
        alone, own = Stack([sketch]).search(probes, len(sketch))
        expected = np.take_along_axis(alone, np.argsort(own), axis=1)
        assert np.array_equal(by_row[:, start : start + len(sketch)], expected)
    best, _ = stack.search(probes, 10)
    assert np.array_equal(np.sort(best), np.sort(scores)[:, -10:])
    _, missing = Stack(sketches[2:]).search(probes, 210)
    assert (missing == -1).sum(axis=1).tolist() == [10, 10, 10]


def test_searches_follow_when_sketched_blocks_come_and_go() -> None:
    index = ApproximateIndex(COLLECTION, "float32", threads=2, approximate_from=1, block_rows=256)
    reference = filled(index, 2000)
    probes = unit(np.random.default_rng(5), 4, DIM)
    for first in (0, 700, 1400):
        reference.check(index.search(probes, 2000), probes, 2000, None, 1e-6)
        gone = index.ids()[first // 3 : first // 3 + 300]
        index.remove(gone, 9)
        reference.remove(gone)
    reference.check(index.search(probes, 2000), probes, 2000, None, 1e-6)


def test_memory_of_removed_entries_is_given_back() -> None:
    index = ExactIndex(COLLECTION, block_rows=256)
    reference = filled(index, 5000)
    rng = np.random.default_rng(1)
    gone = rng.permutation(index.ids())[:4900]
    for start in range(0, len(gone), 70):
        index.remove(gone[start : start + 70], 1)
        reference.remove(gone[start : start + 70])
    assert len(index.table.view) < 400
    reference.check_content(index, TOLERANCE["fp16"])
    index.remove(index.ids(), 2)
    assert len(index.table.view) == len(index) == 0


def test_the_version_never_falls() -> None:
    index = ExactIndex(COLLECTION)
    none = np.empty(0, np.int64)
    index.add(none, none, none, np.empty((0, DIM), np.float32), 5)
    assert index.version == 5
    index.remove(none, 3)
    assert index.version == 5


def test_unknown_ids_have_no_vector() -> None:
    index = ExactIndex(COLLECTION)
    filled(index, 10)
    assert np.isnan(index.vectors_of(np.array([999_999]))).all()


@pytest.mark.parametrize("storage", STORAGES)
def test_what_the_storage_changes_of_a_score_is_as_documented(storage: str) -> None:
    rng = np.random.default_rng(0)
    dim = 128
    index = ExactIndex(Collection(1, "m", dim), storage)
    vectors = unit(rng, 20_000, dim)
    ids = np.arange(len(vectors))
    index.add(ids, ids, ids % 2, vectors, 1)
    probes = unit(rng, 20, dim)
    error = np.abs((index.vectors_of(ids) - vectors) @ probes.T).max()
    assert error <= {"float32": 0, "fp16": 1.5e-4, "sq8": 8e-3}[storage]


@pytest.mark.parametrize("storage", STORAGES)
def test_vectors_of_a_single_large_component_are_kept_beside_usual_ones(storage: str) -> None:
    index = ExactIndex(COLLECTION, storage, block_rows=128)
    reference = filled(index, 300)
    axes = np.eye(DIM, dtype=np.float32)
    ids = np.arange(10_000, 10_000 + DIM)
    index.add(ids, ids, ids % 3, axes, 9)
    reference.add(ids, ids, ids % 3, axes)
    reference.check_content(index, TOLERANCE[storage])
    probes = np.concatenate([axes[:3], unit(np.random.default_rng(2), 3, DIM)])
    reference.check(index.search(probes, 5), probes, 5, None, TOLERANCE[storage])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vectors": np.zeros((2, DIM), np.float32)}, "unit length"),
        ({"vectors": np.full((2, DIM), np.nan, np.float32)}, "finite"),
        ({"vectors": np.ones((2, DIM + 1), np.float32)}, "shape"),
        ({"vectors": np.eye(3, DIM, dtype=np.float32)}, "3 vectors for 2"),
        ({"ids": np.array([1, -1])}, "negative"),
        ({"ids": np.array([1.5, 2.0])}, "whole numbers"),
        ({"persons": np.array([1])}, "as many"),
    ],
)
def test_what_cannot_be_added_is_refused_and_nothing_is_added(
    change: dict[str, Any], words: str
) -> None:
    index = ExactIndex(COLLECTION)
    arguments: dict[str, Any] = {
        "ids": np.array([1, 2]),
        "persons": np.array([1, 2]),
        "groups": np.array([1, 2]),
        "vectors": np.eye(2, DIM, dtype=np.float32),
    }
    with pytest.raises(ValueError, match=words):
        index.add(**{**arguments, **change}, version=1)
    assert len(index) == index.version == 0


@pytest.mark.parametrize(
    ("queries", "k"),
    [
        (np.ones((1, DIM), np.float32), 0),
        (np.ones(DIM, np.float32), 1),
        (np.ones((1, DIM - 1), np.float32), 1),
        (np.full((1, DIM), np.inf, np.float32), 1),
    ],
)
def test_what_cannot_be_searched_is_refused(queries: np.ndarray, k: int) -> None:
    index = ExactIndex(COLLECTION)
    with pytest.raises(ValueError, match="expected"):
        index.search(queries, k)


def test_an_unknown_storage_is_refused() -> None:
    with pytest.raises(ValueError, match="float32, fp16, sq8"):
        ExactIndex(COLLECTION, "int4")
