"""One collection in Milvus: made where it is missing, written and read in bounded requests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from pymilvus import Collection as Remote
from pymilvus import CollectionSchema, FieldSchema, utility

from library.errors import IndexLostError
from library.index.milvus.connection import (
    REQUEST,
    CollectionNotLoadedError,
    MilvusConnection,
)

T = TypeVar("T")

VECTOR = "vector"
# For what takes a server some seconds even with an empty collection, and more with a large one.
SLOW: dict[str, Any] = {**REQUEST, "timeout": 60.0}
# For bringing back what was loaded before: a search must not wait for long.
RELOAD: dict[str, Any] = {**REQUEST, "timeout": 2.0}
LOADING_S = 10.0
# Most rows that Milvus gives for one query of a search, and for one request of rows.
MAX_ROWS = 16_384
# Far below the 64 MiB that a server takes, and quick enough to be repeated.
REQUEST_BYTES = 4 * 1024 * 1024
REQUEST_ROWS = 4096
ANY_TIME = 1  # of the server's clock; 0 would mean now


class MilvusCollection:
    """A collection of Milvus by name.

    Reading sees every write of this object, and everything else that had been written before
    the last call of ``see``. Milvus's own way to ask for that, strong consistency, makes each
    request wait for the next tick of the server's clock, a fifth of a second; a time of that clock
    which the server has passed already makes none wait.
    """

    def __init__(self, connection: MilvusConnection, name: str) -> None:
        self.connection = connection
        self.name = name
        self._remote: Remote | None = None
        self._seen = ANY_TIME
        self._unloaded_since: float | None = None

    def exists(self) -> bool:
        alias = self.connection.alias
        return self.connection.call(
            lambda: bool(utility.has_collection(self.name, using=alias, timeout=REQUEST["timeout"]))
        )

    def create(self, fields: Sequence[FieldSchema], about: dict[str, Any]) -> None:
        """Make it, unless it is there already. about: kept with it, see ``describe``."""
        schema = CollectionSchema(list(fields), description=json.dumps(about, sort_keys=True))

        def make() -> None:
            self._remote = Remote(self.name, schema, using=self.connection.alias, **REQUEST)

        self.connection.call(make)

    def describe(self) -> tuple[int, dict[str, Any]]:
        """The length of its vectors, and what was told about it when it was made.

        Raises IndexLostError where it is not there.
        """
        schema = self.connection.call(lambda: self._get().schema)
        dim = next(field.params["dim"] for field in schema.fields if field.name == VECTOR)
        try:
            about = json.loads(schema.description)
        except (ValueError, RecursionError):
            about = None
        return int(dim), about if isinstance(about, dict) else {}

    def make_searchable(self, index_type: str, parameters: dict[str, int]) -> None:
        """Give its vectors this kind of index, by inner product, and load it."""

        def build() -> None:
            remote = self._get()
            kinds = [index.params["index_type"] for index in remote.indexes]
            if kinds and kinds != [index_type]:
                remote.release(**SLOW)
                remote.drop_index(**SLOW)
            if kinds != [index_type]:
                wanted = {"index_type": index_type, "metric_type": "IP", "params": parameters}
                remote.create_index(VECTOR, wanted, sync=False, **SLOW)
            remote.load(**SLOW)

        self.connection.call(build)

    def drop(self) -> None:
        alias = self.connection.alias
        self.connection.call(
            lambda: utility.drop_collection(self.name, using=alias, timeout=SLOW["timeout"])
        )
        self._remote = None

    def see(self, moment: int) -> None:
        """From now on, see what was written until this time of the server's clock."""
        self._seen = max(self._seen, moment)

    def upsert(self, columns: Sequence[Any]) -> int:
        """Write rows, given as the columns of all fields; those of the same key are replaced.

        Returns the time of the server's clock at which they were written.
        """
        bytes_a_row = 8 * len(columns) + columns[-1].shape[1] * 4
        for start, stop in _pieces(len(columns[0]), bytes_a_row):
            piece = [column[start:stop] for column in columns]
            written = self._call(lambda remote: remote.upsert(piece, **REQUEST))  # noqa: B023
            self.see(int(written.timestamp))
        return self._seen

    def delete(self, key: str, keys: Sequence[Any] | np.ndarray) -> None:
        """Delete rows by their keys. Searches see it after ``see`` of a later time only."""
        for start, stop in _pieces(len(keys), 8):
            condition = f"{key} in {_literal(keys[start:stop])}"
            self._call(lambda remote: remote.delete(condition, **REQUEST))  # noqa: B023

    def rows(self, condition: str, fields: Sequence[str], batch: int = MAX_ROWS) -> Iterator[Any]:
        """Lists of rows (dictionaries) that meet a condition, in the order of their keys."""
        iterator = self._call(
            lambda remote: remote.query_iterator(
                batch_size=batch, expr=condition, output_fields=list(fields), **self._reading()
            )
        )
        try:
            while True:
                rows = self.connection.call(iterator.next)
                if not rows:
                    return
                yield rows
        finally:
            iterator.close()

    def rows_of(
        self, key: str, keys: Sequence[Any] | np.ndarray, fields: Sequence[str], latest: bool = True
    ) -> Iterator[Any]:
        """Lists of the rows with these keys, of those that are there.

        latest: False takes what the server can show without waiting, also of this object's writes.
        """
        reading = (
            self._reading() if latest else {**self._reading(), "guarantee_timestamp": ANY_TIME}
        )
        for start, stop in _pieces(len(keys), 8 + self._bytes_a_row(fields)):
            condition = f"{key} in {_literal(keys[start:stop])}"
            yield self._call(
                lambda remote: remote.query(condition, list(fields), **reading)  # noqa: B023
            )

    def count(self) -> int:
        rows = self._call(lambda remote: remote.query("", ["count(*)"], **self._reading()))
        return int(rows[0]["count(*)"])

    def search(
        self,
        queries: np.ndarray,
        rows: int,
        fields: Sequence[str],
        condition: str,
        parameters: dict[str, int],
    ) -> Any:
        """Hits of each query as pymilvus gives them: `rows` of the highest inner product."""
        return self._call(
            lambda remote: remote.search(
                queries,
                VECTOR,
                {"metric_type": "IP", "params": parameters},
                rows,
                expr=condition,
                output_fields=list(fields),
                **self._reading(),
            )
        )

    def flush(self) -> None:
        """Have the server finish its open segments: they are searched faster then."""
        self._call(lambda remote: remote.flush(**SLOW))

    def _get(self) -> Remote:
        if self._remote is None:
            if not self.exists():
                raise IndexLostError("index_lost", "A collection is gone from Milvus.")
            self._remote = Remote(self.name, using=self.connection.alias, **REQUEST)
        return self._remote

    def _call(self, request: Callable[[Remote], T]) -> T:
        """A request to the loaded collection.

        One that is not loaded mostly is about to be: after a start of the server, or where its kind
        of index is being changed. After a while it is loaded from here.
        """
        try:
            result = self.connection.call(lambda: request(self._get()))
        except CollectionNotLoadedError:
            now = time.monotonic()
            self._unloaded_since = self._unloaded_since or now
            if now - self._unloaded_since < LOADING_S:
                raise
            self.connection.call(lambda: self._get().load(**RELOAD))
            result = self.connection.call(lambda: request(self._get()))
        self._unloaded_since = None
        return result

    def _reading(self) -> dict[str, Any]:
        return {"consistency_level": "Customized", "guarantee_timestamp": self._seen, **REQUEST}

    def _bytes_a_row(self, fields: Sequence[str]) -> int:
        return self.describe()[0] * 4 if VECTOR in fields else 8


def _pieces(rows: int, bytes_a_row: int) -> Iterator[tuple[int, int]]:
    step = max(1, min(REQUEST_ROWS, REQUEST_BYTES // bytes_a_row))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def _literal(keys: Sequence[Any] | np.ndarray) -> str:
    """A list in the language of Milvus's conditions."""
    return json.dumps(np.asarray(keys).tolist())
