"""``python -m library backup`` and ``restore``."""

from __future__ import annotations

import argparse

from library.commands.index_access import discard_index
from library.commands.session import DONE, Session


def backup(session: Session, arguments: argparse.Namespace) -> int:
    """Write a backup while the library is used."""
    with session.store() as store, session.bar("rows") as advance:
        store.backup(arguments.file, advance)
    size = arguments.file.stat().st_size / 1e6
    session.out.print(f"backup of {size:.1f} MB written to {arguments.file}")
    return DONE


def restore(session: Session, arguments: argparse.Namespace) -> int:
    """Put a backup back; running services notice it by themselves."""
    with session.store() as store:
        before = store.versions()
        with session.bar("rows") as advance:
            store.restore(arguments.file, replace=arguments.replace, progress=advance)
        states = store.versions()
    for app, state in before.items():
        discard_index(session, app, state)
    faces = sum(state.faces for state in states.values())
    session.out.print(f"{faces} faces of {len(states)} apps restored from {arguments.file}")
    return DONE
