"""``python -m library delete-user``: a user goes, and nothing of the user stays behind."""

from __future__ import annotations

import sqlite3

import click

from library.backup import backup
from library.commands import options
from library.commands.index_access import open_index
from library.commands.session import DONE, FAILED, CommandError, Session
from library.face_token_file import forget_in
from library.store.store import Store
from library.sync.open_storage import open_storage


@click.command("delete-user", short_help="Delete a user without a trace.")
@click.argument("user")
@click.option("--group", show_default="all groups that have the user")
@click.option(
    "--compact", is_flag=True,
    help="Also write the database's files anew, which keeps writers out meanwhile.",
)  # fmt: skip
@options.APP
@options.with_session
def run(session: Session, user: str, group: str | None, compact: bool, app: str) -> int:
    """Delete a user without a trace; exit status 1 where a backup still has the user."""
    with session.store() as store:
        _clean_tokens(session, store, app, user, group)
        store.delete_user(app, user, group)
        where = f"group {group}" if group else "all groups"
        session.out.print(f"user {user} of app {app} is deleted from {where} in the database")
        if compact:
            store.compact()
            session.out.print("the database's files are written anew")
        _clean_index(session, store, app)
        holding, unreadable = backup.holding(
            store.backups(), lambda path: backup.holds_user(path, app, user)
        )
    for path in holding:
        session.out.print(f"still in the backup {path}: delete it, or write it anew")
    for path, reason in unreadable:
        session.out.print(f"perhaps still in the backup {path}, which cannot be read: {reason}")
    return FAILED if holding or unreadable else DONE


def _clean_tokens(session: Session, store: Store, app: str, user: str, group: str | None) -> None:
    """The gateway's tokens of the same pictures; it drops them from memory within half a minute."""
    path = session.config.token_file()
    if not path.exists():
        return
    try:
        scrubbed = forget_in(path, app, store.embeddings(app, group, user))
    except (sqlite3.Error, OSError) as error:
        raise CommandError(f"{path} may still have the user: {error}; try again") from None
    if not scrubbed:
        session.out.print(f"the log of {path} may still have the user until the next deletion")


def _clean_index(session: Session, store: Store, app: str) -> None:
    """The snapshot, or Milvus, without the user; services drop it from memory by themselves."""
    state = store.versions(app)[app]
    storage = open_storage(session.library)
    path = storage.path(state.id)
    if path is None and session.library.index.kind != "milvus":
        session.out.print("no snapshot of the index is kept")
        return
    # Also where there is none: one that a service is writing now could not take its place.
    with session.bar("faces") as advance, open_index(storage, store, app, advance) as opened:
        if opened is not None:
            try:
                storage.save(opened.index)
            except OSError as error:
                raise CommandError(f"{path} may still have the user: {error}; delete it") from None
    session.out.print(f"and from {path or 'Milvus'}")
