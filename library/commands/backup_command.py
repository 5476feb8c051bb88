"""``python -m library backup`` and ``restore``."""

from __future__ import annotations

from pathlib import Path

import click

from library.commands import options
from library.commands.index_access import discard_index
from library.commands.session import DONE, Session
from terminal.options import PATH


@click.command()
@click.argument("file", type=PATH)
@options.with_session
def backup(session: Session, file: Path) -> int:
    """Write a copy while the library is used."""
    with session.store() as store, session.bar("rows") as advance:
        store.backup(file, advance)
    size = file.stat().st_size / 1e6
    session.out.print(f"backup of {size:.1f} MB written to {file}")
    return DONE


@click.command(short_help="Put a backup back.")
@click.argument("file", type=PATH)
@click.option("--replace", is_flag=True, help="In place of all that is there.")
@options.with_session
def restore(session: Session, file: Path, replace: bool) -> int:
    """Put a backup back; running services notice it by themselves."""
    with session.store() as store:
        before = store.versions()
        with session.bar("rows") as advance:
            store.restore(file, replace=replace, progress=advance)
        states = store.versions()
    for app, state in before.items():
        discard_index(session, app, state)
    faces = sum(state.faces for state in states.values())
    session.out.print(f"{faces} faces of {len(states)} apps restored from {file}")
    return DONE
