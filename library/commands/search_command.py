"""``python -m library search``: who is in a picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from client.pipeline.answer import Options
from library.commands.safe_files import NotReadableError, read_regular
from library.commands.service_client import Asker, PictureError, Seen
from library.commands.session import DONE, FAILED, CommandError, Session
from library.errors import NotFoundError
from library.library import Hit, Library
from terminal.table import FittingTable


def run(session: Session, arguments: argparse.Namespace) -> int:
    """Search every face of the picture; 0 where somebody was found, 1 where nobody was."""
    seen = _seen(session, arguments)
    queries = [face.embedding for face in seen.faces if face.embedding is not None]
    recogniser = session.recogniser(seen.recogniser)
    with session.store() as store:
        if arguments.app not in store.versions(arguments.app):
            raise NotFoundError("app_not_found", f"There is no app {arguments.app}.")
    with (
        session.bar("faces") as advance,
        Library(
            session.library, recogniser, apps=[arguments.app], progress=lambda _: advance
        ) as library,
    ):
        found = library.search(
            arguments.app, queries, arguments.group or None, arguments.users, arguments.threshold
        )
    if arguments.json:
        _print_json(seen, found)
    else:
        _show(session, seen, found)
    return DONE if any(found) else FAILED


def _seen(session: Session, arguments: argparse.Namespace) -> Seen:
    picture: Path = arguments.picture
    options = Options(
        max_faces=arguments.max_faces,
        want=("embedding",),
        embedding_format="base64",
        aligned=True if arguments.aligned else None,
    )
    try:
        content = read_regular(picture, session.config.limits.picture_bytes, follow=True)
    except NotReadableError as error:
        raise CommandError(f"{picture} cannot be read: {error}") from None
    transport = session.connect(arguments.service, arguments.timeout)
    try:
        return Asker(transport, options).faces(content)
    except PictureError as error:
        raise CommandError(f"{picture}: {error}") from None
    finally:
        transport.close()


def _print_json(seen: Seen, found: list[list[Hit]]) -> None:
    faces = [
        {"box": list(face.box), "users": [vars(hit) for hit in hits]}
        for face, hits in zip(seen.faces, found)
    ]
    print(json.dumps({"recogniser": seen.recogniser, "faces": faces}, ensure_ascii=False))


def _show(session: Session, seen: Seen, found: list[list[Hit]]) -> None:
    if not seen.faces:
        session.out.print("no face in the picture")
        return
    table = FittingTable().figures("face").names("box (pixels)").figures("score")
    table.names("group", "user").words("info")
    for number, (face, hits) in enumerate(zip(seen.faces, found), 1):
        box = " ".join(f"{value:.0f}" for value in face.box)
        for hit in hits:
            table.add_row(str(number), box, f"{hit.score:.1f}", hit.group, hit.user, hit.info)
        if not hits:
            table.add_row(str(number), box, "", "nobody", "", "")
    session.out.print(table)
