"""The best persons out of the best entries, where only the best entries can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from library.index.milvus.collection import MAX_ROWS
from library.index.vector_index import Hits

# Entries asked for at first. Most persons have a few faces, and few of them more than twenty.
FIRST_ROWS = 32
ROWS_A_PERSON = 4
WIDENING = 4
# Entries of all queries of one request together: some megabytes.
ROWS_A_REQUEST = 262_144


@dataclass(frozen=True)
class FoundEntries:
    """n entries. scores: (n,) float32, descending. entries, persons: (n,) int64."""

    scores: np.ndarray
    entries: np.ndarray
    persons: np.ndarray

    @classmethod
    def none(cls) -> FoundEntries:
        return cls(np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64))

    def best_of_each(self) -> FoundEntries:
        """The best entry of each person, the best persons first, equal ones by their ids."""
        order = np.lexsort((self.entries, self.persons, -self.scores))
        _, first = np.unique(self.persons[order], return_index=True)
        return self._taken(order[np.sort(first)])

    def above(self, score: float) -> FoundEntries:
        return self._taken(self.scores > score)

    def joined(self, other: FoundEntries) -> FoundEntries:
        return FoundEntries(
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.entries, other.entries]),
            np.concatenate([self.persons, other.persons]),
        )

    def _taken(self, which: np.ndarray) -> FoundEntries:
        return FoundEntries(self.scores[which], self.entries[which], self.persons[which])


# The best entries for each query: (queries, how many at most, persons to leave out).
Fetch = Callable[[np.ndarray, int, Sequence[int]], Sequence[FoundEntries]]


def search_persons(fetch: Fetch, queries: np.ndarray, k: int) -> Hits:
    """The k best persons for each query.

    More entries are fetched until it is certain that no other person, and no other entry of equal
    score, belongs among the k: when there are no more, or the last one fetched scores less than the
    k-th person.

    queries: (q, dim).
    """
    hits = Hits.none(len(queries), k)
    limit = min(MAX_ROWS, max(FIRST_ROWS, ROWS_A_PERSON * k))
    uncertain = np.arange(len(queries))
    while len(uncertain):
        asked, uncertain = uncertain, np.array([], np.int64)
        step = max(1, ROWS_A_REQUEST // limit)
        for start in range(0, len(asked), step):
            part = asked[start : start + step]
            for query, found in zip(part, fetch(queries[part], limit, ())):
                best = found.best_of_each()
                if not _is_certain(found, best, limit, k):
                    if limit < MAX_ROWS:
                        uncertain = np.append(uncertain, query)
                        continue
                    best = _beyond(fetch, queries[query : query + 1], found, k)
                _fill(hits, int(query), best, k)
        limit = min(MAX_ROWS, WIDENING * limit)
    return hits


def _is_certain(found: FoundEntries, best: FoundEntries, limit: int, k: int) -> bool:
    if len(found.scores) < limit:
        return True
    return len(best.scores) >= k and bool(found.scores[-1] < best.scores[k - 1])


def _beyond(fetch: Fetch, query: np.ndarray, found: FoundEntries, k: int) -> FoundEntries:
    """The best persons where the most entries that can be had at once are not enough.

    Persons whose best entry is certain are left out of the next request.
    """
    certain = FoundEntries.none()
    while True:
        best = certain.joined(found).best_of_each()
        if _is_certain(found, best, MAX_ROWS, k):
            return best
        persons = found.best_of_each()
        sure = persons.above(found.scores[-1])
        # So many entries of one score that Milvus's choice among them has to do.
        certain = certain.joined(sure if len(sure.scores) else persons)
        found = fetch(query, MAX_ROWS, certain.persons.tolist())[0]


def _fill(hits: Hits, query: int, best: FoundEntries, k: int) -> None:
    count = min(k, len(best.scores))
    hits.scores[query, :count] = best.scores[:count]
    hits.persons[query, :count] = best.persons[:count]
    hits.entries[query, :count] = best.entries[:count]
