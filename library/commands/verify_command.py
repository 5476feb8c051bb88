"""``python -m library verify``: the database against itself, and the index against the database."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass

import click
import numpy as np

from client.terminal.table import FittingTable
from library.commands import options
from library.commands.index_access import open_index, update
from library.commands.session import DONE, FAILED, Advance, OpenIndex, Session
from library.index.vector_index import VectorIndex
from library.records import Problem
from library.store.inspection import KINDS
from library.store.store import Store
from library.sync.index_storage import IndexStorage
from library.sync.index_update import rebuild
from library.sync.open_storage import open_storage
from terminal.options import json_option

# What can be wrong with an index, beside what can be wrong with the database.
INDEX_KINDS: dict[str, str] = {
    "not_indexed": "an entry of the database is not in the index; the index is filled anew",
    "indexed_too_much": "the index has an entry that is not in the database; it is filled anew",
    "indexed_otherwise": "the index has another vector for an entry; the index is filled anew",
}
# What the coarsest storage makes of a cosine is some thousandths.
_LEAST_COSINE = 0.99
_ENTRIES_AT_ONCE = 10_000
# What others change during the comparison looks like a fault until it is looked at again.
_ROUNDS = 3
_SHOWN = 20


@dataclass(frozen=True)
class Found:
    """What was wrong, and how many entries each index was compared by."""

    problems: list[Problem]
    compared: dict[str, int]


@click.command("verify", short_help="Look for what should not be.")
@options.ANY_APP
@click.option("--repair", is_flag=True, help="Put right what is found.")
@json_option
@options.with_session
def run(session: Session, app: str | None, repair: bool, as_json: bool) -> int:
    """Look for what should not be; exit status 0 where all is well then."""
    with session.store() as store:
        found = Found(store.repair(app) if repair else list(store.check(app)), {})
        for name in [app] if app else store.apps():
            with session.bar(f"index of {name}") as advance:
                _verify_index(session, store, name, repair, advance, found)
    _show(session, found, repair, as_json)
    damaged = any(problem.kind == "damaged" for problem in found.problems)
    return FAILED if damaged or (found.problems and not repair) else DONE


def _verify_index(
    session: Session, store: Store, app: str, repair: bool, advance: Advance, found: Found
) -> None:
    """Compare what is kept of an app's index: the snapshot, or Milvus."""
    storage = open_storage(session.library)
    path = storage.path(store.versions(app)[app].id)
    if session.library.index.kind != "milvus" and (path is None or not path.exists()):
        return
    with open_index(storage, store, app, advance) as opened:
        if opened is None:
            return
        problems = _compare(opened, storage, store, app)
        found.compared[app] = len(opened.index)
        found.problems.extend(problems)
        if problems and repair:
            rebuild(opened.index, opened.state, store, advance)
            _remove_foreign(opened, store)
            storage.save(opened.index)


def _compare(opened: OpenIndex, storage: IndexStorage, store: Store, app: str) -> list[Problem]:
    index, state = opened.index, opened.state
    faults: set[tuple[str, int]] = set()
    for number in range(_ROUNDS):
        seen = {
            *(("not_indexed", id_) for id_ in _missing(index, store, state.id)),
            *(("indexed_too_much", id_) for id_ in _foreign(index, store, state.id)),
            *(("indexed_otherwise", id_) for id_ in _different(index, store, state.id)),
        }
        faults = seen if number == 0 else faults & seen
        if not faults:
            break
        state = update(index, storage, store, store.versions(app)[app], lambda *_: None)
    return [Problem(kind, app, id_, INDEX_KINDS[kind]) for kind, id_ in sorted(faults)]


def _missing(index: VectorIndex, store: Store, app_id: int) -> list[int]:
    return np.setdiff1d(store.entry_ids(app_id), index.ids()).tolist()


def _foreign(index: VectorIndex, store: Store, app_id: int) -> list[int]:
    # The index first: see library.sync.index_update.rebuild.
    there = index.ids()
    return np.setdiff1d(there, store.entry_ids(app_id)).tolist()


def _different(index: VectorIndex, store: Store, app_id: int) -> list[int]:
    different: list[int] = []
    for batch in store.entries_after(app_id, 0, _ENTRIES_AT_ONCE):
        cosines = np.einsum("ij,ij->i", index.vectors_of(batch.ids), batch.vectors)
        different += batch.ids[cosines < _LEAST_COSINE].tolist()
    return different


def _remove_foreign(opened: OpenIndex, store: Store) -> None:
    index = opened.index
    gone = np.array(_foreign(index, store, opened.state.id), np.int64)
    index.remove(gone, index.version)


def _show(session: Session, found: Found, repair: bool, as_json: bool) -> None:
    if as_json:
        document = {
            "problems": [asdict(problem) for problem in found.problems],
            "repaired": repair,
            "compared": found.compared,
        }
        print(json.dumps(document))
        return
    for app, entries in found.compared.items():
        session.out.print(f"index of app {app}: {entries} entries compared with the database")
    if not found.problems:
        session.out.print("all is well")
        return
    table = FittingTable().names("problem").words("app").figures("row")
    for problem in found.problems[:_SHOWN]:
        table.add_row(problem.kind, problem.app, str(problem.id))
    session.out.print(table)
    for kind, count in Counter(problem.kind for problem in found.problems).most_common():
        session.out.print(f"{count} x {kind}: {({**KINDS, **INDEX_KINDS})[kind]}")
    done = "repaired" if repair else "put right with --repair"
    session.out.print(f"{len(found.problems)} problems, {done}")
