"""The plain model that the indexes in memory are held against: a dictionary and numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from library.index.vector_index import Hits, VectorIndex

# What a storage may change of a cosine of unit vectors, and what float32 adds are uncertain by.
TOLERANCE = {"float32": 1e-6, "fp16": 1e-3, "sq8": 2e-2}


def unit(rng: np.random.Generator, count: int, dim: int) -> np.ndarray:
    """Random vectors of unit length: (count, dim) float32."""
    vectors = rng.standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Reference:
    """What an index should hold: of each entry its person, its group and its vector."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.entries: dict[int, tuple[int, int, np.ndarray]] = {}

    def add(
        self,
        ids: Sequence[int],
        persons: Sequence[int],
        groups: Sequence[int],
        vectors: np.ndarray,
    ) -> None:
        for row in zip(ids, persons, groups, vectors):
            self.entries[int(row[0])] = (int(row[1]), int(row[2]), row[3])

    def remove(self, ids: Sequence[int]) -> None:
        for id_ in ids:
            self.entries.pop(int(id_), None)

    def scores(self, query: np.ndarray, groups: Sequence[int] | None) -> dict[int, float]:
        """Every person's best score."""
        chosen = [e for e in self.entries.values() if groups is None or e[1] in groups]
        best: dict[int, float] = {}
        if chosen:
            cosines = np.stack([e[2] for e in chosen]).astype(np.float64) @ query
            for (person, _, _), cosine in zip(chosen, cosines):
                best[person] = max(best.get(person, -2.0), float(cosine))
        return best

    def check(
        self,
        hits: Hits,
        queries: np.ndarray,
        k: int,
        groups: Sequence[int] | None,
        slack: float,
        complete: bool = True,
    ) -> None:
        """Assert that the hits are the k best persons, in order, as far as `slack` can tell.

        complete: False for an index that may overlook some, but not be wrong about whom it finds.
        """
        assert hits.scores.shape == hits.persons.shape == hits.entries.shape == (len(queries), k)
        assert hits.scores.dtype == np.float32
        assert hits.persons.dtype == hits.entries.dtype == np.int64
        for query, scores, persons, entries in zip(
            queries, hits.scores, hits.persons, hits.entries
        ):
            expected = self.scores(query, groups)
            found = min(k, len(expected))
            assert (persons[found:] == -1).all()
            assert (entries[found:] == -1).all()
            assert np.isneginf(scores[found:]).all()
            keys = [(-score, person) for score, person in zip(scores[:found], persons[:found])]
            assert keys == sorted(keys)
            assert len(set(persons[:found].tolist())) == found
            for score, person, entry in zip(scores[:found], persons[:found], entries[:found]):
                assert abs(score - expected[int(person)]) <= slack
                held = self.entries[int(entry)]
                assert held[0] == person
                assert abs(float(held[2].astype(np.float64) @ query) - score) <= slack
            if found and complete:
                missed = set(expected) - set(persons[:found].tolist())
                assert all(expected[person] <= scores[found - 1] + slack for person in missed)

    def check_content(self, index: VectorIndex, slack: float) -> None:
        """Assert that the index holds the same entries, and their vectors."""
        ids = np.array(sorted(self.entries), np.int64)
        assert len(index) == len(ids)
        assert np.array_equal(index.ids(), ids)
        if len(ids):
            expected = np.stack([self.entries[int(id_)][2] for id_ in ids])
            assert np.abs(index.vectors_of(ids) - expected).max() <= slack
