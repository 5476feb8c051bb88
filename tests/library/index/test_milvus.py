"""The index in Milvus, on a real server and in Milvus Lite."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from library.index.milvus import person_search as milvus_search
from library.index.milvus.index import MilvusIndex
from library.index.milvus.journal import Journal
from library.index.milvus.upkeep import Upkeep
from library.index.vector_index import Hits
from tests.support.libraries.milvus_server import DIM
from tests.support.service import wait_until

pytestmark = pytest.mark.usefixtures("patient")

Open = Callable[..., MilvusIndex]

# Ids of entries are never used twice, and the tests share an index.
_NUMBERS = itertools.count(step=1_000_000)


class Faces:
    """Entries, all different unless said, and what an index of them has to answer.

    faces: of one person, one after another; a person is in group `person % 3`.
    """

    def __init__(self, count: int, faces: int = 1, seed: int = 7, dim: int = DIM) -> None:
        first = next(_NUMBERS)
        self.random = np.random.default_rng(seed)
        self.ids = np.arange(first, first + count)
        self.persons = first + np.arange(count) // faces
        self.groups = self.persons % 3
        self.vectors = self.directions(count, dim)

    def directions(self, count: int, dim: int = DIM) -> np.ndarray:
        vectors = self.random.normal(size=(count, dim)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def add_to(self, index: MilvusIndex, rows: slice = slice(None)) -> None:
        index.add(
            self.ids[rows],
            self.persons[rows],
            self.groups[rows],
            self.vectors[rows],
            index.version + 1,
        )

    def hits(self, queries: np.ndarray, k: int, groups: list[int] | None = None) -> Hits:
        """The right answer, from all scores."""
        hits = Hits.none(len(queries), k)
        among = np.ones(len(self.ids), bool) if groups is None else np.isin(self.groups, groups)
        ids, persons, vectors = self.ids[among], self.persons[among], self.vectors[among]
        for row, query in enumerate(queries):
            scores = np.einsum("nd,d->n", vectors, query)
            order = np.lexsort((ids, persons, -scores))
            first = np.sort(np.unique(persons[order], return_index=True)[1])[:k]
            best = order[first]
            hits.scores[row, : len(best)] = scores[best]
            hits.persons[row, : len(best)] = persons[best]
            hits.entries[row, : len(best)] = ids[best]
        return hits


def assert_same(hits: Hits, expected: Hits) -> None:
    np.testing.assert_array_equal(hits.persons, expected.persons)
    np.testing.assert_array_equal(hits.entries, expected.entries)
    np.testing.assert_allclose(hits.scores, expected.scores, atol=1e-6)
    assert hits.scores.dtype == np.float32
    assert hits.persons.dtype == hits.entries.dtype == np.int64


def test_what_was_added_is_found_at_once(index):
    faces = Faces(3)
    for row in range(3):
        faces.add_to(index, slice(row, row + 1))
        hits = index.search(faces.vectors[row : row + 1], 1)
        assert hits.entries.tolist() == [[faces.ids[row]]]
        assert len(index) == row + 1


def test_what_was_removed_is_not_found_again(index):
    faces = Faces(3)
    faces.add_to(index)
    index.remove(faces.ids[:1], index.version + 1)
    assert index.search(faces.vectors[:1], 3).entries[0, 0] != faces.ids[0]
    assert index.ids().tolist() == faces.ids[1:].tolist()
    assert len(index) == 2


@pytest.mark.parametrize("faces_a_person", [1, 3, 20])
def test_the_best_persons_are_exactly_the_right_ones(index, faces_a_person):
    faces = Faces(2000, faces_a_person)
    faces.add_to(index)
    queries = faces.directions(40)
    assert_same(index.search(queries, 5), faces.hits(queries, 5))
    assert_same(index.search(queries[:1], 50), faces.hits(queries[:1], 50))
    assert_same(index.search(queries, 3, [0, 2]), faces.hits(queries, 3, [0, 2]))


def test_persons_with_the_same_face_stand_in_the_order_of_their_ids(index):
    faces = Faces(300, 3)
    faces.vectors[1::2] = faces.vectors[1]
    faces.add_to(index)
    queries = np.concatenate([faces.vectors[1:2], faces.directions(4)])
    for k in (1, 7, 100):
        assert_same(index.search(queries, k), faces.hits(queries, k))


def test_the_best_persons_are_right_where_milvus_cannot_give_that_many_faces(index, monkeypatch):
    monkeypatch.setattr(milvus_search, "MAX_ROWS", 40)
    faces = Faces(900, 25)
    faces.vectors[50:150] = faces.vectors[50]
    faces.add_to(index)
    queries = np.concatenate([faces.vectors[50:51], faces.directions(3)])
    for k in (1, 6, 36):
        assert_same(index.search(queries, k), faces.hits(queries, k))


def test_fewer_persons_than_asked_for_leave_empty_places(index):
    faces = Faces(4, 2)
    queries = faces.directions(2)
    assert_same(index.search(queries, 3), Hits.none(2, 3))
    faces.add_to(index)
    assert_same(index.search(queries, 5), faces.hits(queries, 5))
    assert_same(index.search(queries, 5, [-1]), Hits.none(2, 5))
    assert_same(index.search(queries, 5, []), Hits.none(2, 5))
    assert index.search(queries[:0], 5).scores.shape == (0, 5)


def test_adding_an_id_again_replaces_it(index):
    faces = Faces(2)
    faces.add_to(index)
    other = faces.directions(1)
    index.add(faces.ids[:1], faces.persons[1:], faces.groups[:1], other, index.version + 1)
    assert len(index) == 2
    np.testing.assert_array_equal(index.vectors_of(faces.ids[:1]), other)
    assert index.search(other, 2).persons.tolist() == [[faces.persons[1], -1]]


def test_of_an_id_that_occurs_twice_in_one_call_the_last_counts(index):
    faces = Faces(3)
    faces.ids[2] = faces.ids[0]
    faces.add_to(index)
    assert len(index) == 2
    np.testing.assert_array_equal(index.vectors_of(faces.ids[:1]), faces.vectors[2:])


def test_changes_of_nothing_only_move_the_version(index):
    none = np.array([], np.int64)
    version = index.version
    index.add(none, none, none, np.empty((0, DIM), np.float32), version + 1)
    index.remove(none, version + 2)
    index.remove(np.array([next(_NUMBERS)]), version + 3)
    assert index.version == version + 3
    assert len(index) == 0
    assert index.ids().tolist() == []


def test_vectors_come_back_as_they_were_added(index):
    faces = Faces(5000)
    faces.add_to(index)
    wanted = faces.ids[[4000, 7, 7, 0]]
    np.testing.assert_array_equal(index.vectors_of(wanted), faces.vectors[[4000, 7, 7, 0]])
    unknown = index.vectors_of(np.array([next(_NUMBERS), faces.ids[1]]))
    assert np.isnan(unknown[0]).all()
    np.testing.assert_array_equal(unknown[1], faces.vectors[1])
    assert index.vectors_of(faces.ids[:0]).shape == (0, DIM)
    assert index.ids().tolist() == faces.ids.tolist()


def test_the_version_is_kept_in_milvus(index, milvus_place, open_index):
    Faces(2).add_to(index)
    again = open_index(milvus_place, app=index.collection.app_id)
    assert again.version == index.version
    assert len(again) == 2


def test_another_process_sees_the_changes_after_looking(index, milvus_place, open_index):
    other = open_index(milvus_place, app=index.collection.app_id)
    faces = Faces(10)
    faces.add_to(index)
    assert wait_until(lambda: other.refresh() == index.version, 5)
    assert_same(other.search(faces.vectors, 2), faces.hits(faces.vectors, 2))
    other.remove(faces.ids[:5], other.version + 1)
    assert wait_until(lambda: index.refresh() == other.version, 5)
    assert index.ids().tolist() == faces.ids[5:].tolist()


def test_a_process_that_was_held_up_does_not_bring_a_removed_face_back(
    index, milvus_place, open_index
):
    slow = open_index(milvus_place, app=index.collection.app_id)
    faces = Faces(4)
    read_at = index.version + 1
    faces.add_to(index)
    index.remove(faces.ids[:2], index.version + 1)
    slow.add(faces.ids, faces.persons, faces.groups, faces.vectors, read_at)
    assert wait_until(lambda: index.ids().tolist() == faces.ids[2:].tolist(), 10)
    assert slow.refresh() >= index.version - 1


def test_what_a_process_has_added_too_late_before_it_died_is_gone_when_the_next_one_opens(
    index, milvus_place, open_index, monkeypatch
):
    faces = Faces(4)
    read_at = index.version + 1
    faces.add_to(index)
    index.remove(faces.ids[:2], index.version + 1)
    monkeypatch.setattr(Upkeep, "added", lambda *_: None)
    index.add(faces.ids, faces.persons, faces.groups, faces.vectors, read_at)
    assert len(index) == 4
    opened = open_index(milvus_place, app=index.collection.app_id)
    assert opened.ids().tolist() == faces.ids[2:].tolist()


def test_processes_that_apply_changes_in_any_order_end_with_the_same_faces(
    index, milvus_place, open_index
):
    processes = [index, open_index(milvus_place, app=index.collection.app_id)]
    faces = Faces(60)
    first, last = index.version, index.version + 60
    # Row i comes with version first + i + 1; every third one goes two versions later.
    gone_at = {row: first + row + 3 for row in range(0, 58, 3)}
    random = np.random.default_rng(3)
    held_up: list[tuple[MilvusIndex, list[int], list[int], int, int]] = []
    while min(process.version for process in processes) < last or held_up:
        process = processes[random.integers(2)]
        if held_up and random.random() < 0.5:
            process, rows, gone, start, read_at = held_up.pop(random.integers(len(held_up)))
            entries = faces.ids, faces.persons, faces.groups, faces.vectors
            process.add(*(column[rows] for column in entries), start)
            process.remove(faces.ids[gone], read_at)
        elif process.version < last:
            # What the database says at a version that some other process may know of already.
            start, newest = process.version, max(other.version for other in processes)
            read_at = min(last, newest + int(random.integers(1, 9)))
            rows = [
                row
                for row in range(start - first, read_at - first)
                if gone_at.get(row, read_at + 1) > read_at
            ]
            gone = [row for row, at in gone_at.items() if start < at <= read_at]
            held_up.append((process, rows, gone, start, read_at))
        else:
            process.refresh()
    staying = [entry for row, entry in enumerate(faces.ids.tolist()) if row not in gone_at]
    assert wait_until(lambda: index.ids().tolist() == staying, 10)


def test_old_tombstones_are_dropped_and_young_ones_kept(index, milvus_place, open_index):
    faces = Faces(2)
    faces.add_to(index)
    index.remove(faces.ids, index.version + 1)
    app = index.collection.app_id
    open_index(milvus_place, app=app, keep_removals_days=1.0)
    assert set(faces.ids.tolist()) <= set(_tombstones(index))
    open_index(milvus_place, app=app, keep_removals_days=0.0)
    assert not _tombstones(index)


def _tombstones(index: MilvusIndex) -> dict[int, int]:
    journal = Journal(index._connection, "faces", index.name)
    journal.see(journal.now())
    return journal.buried_after(0)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda f: setattr(f, "vectors", f.vectors[:, :-1]), "expected"),
        (lambda f: setattr(f, "vectors", f.vectors * 2), "unit length"),
        (lambda f: f.vectors.__setitem__((0, 0), np.nan), "finite"),
        (lambda f: setattr(f, "persons", f.persons[:1]), "expected"),
        (lambda f: setattr(f, "ids", f.ids - 10**9), "negative"),
        (lambda f: setattr(f, "groups", f.groups / 2), "expected"),
    ],
)
def test_entries_that_do_not_fit_are_refused(lite_index, change, fault):
    faces = Faces(2)
    change(faces)
    with pytest.raises(ValueError, match=fault):
        faces.add_to(lite_index)
    assert len(lite_index) == 0


def test_queries_that_do_not_fit_are_refused(lite_index):
    query = Faces(1).vectors
    for wrong, k in ((query[:, :-1], 1), (query[0], 1), (query, 0), (query * np.inf, 1)):
        with pytest.raises(ValueError, match="expected"):
            lite_index.search(wrong, k)
