"""``python -m library search``: who is in a picture."""

from __future__ import annotations

import json
from pathlib import Path

import click

from client.pipeline.answer import Options
from client.terminal.table import FittingTable
from library.commands import options
from library.commands.safe_files import NotReadableError, read_regular
from library.commands.service_client import Asker, PictureError, Seen
from library.commands.session import DONE, FAILED, CommandError, Session
from library.errors import NotFoundError
from library.library import Hit, Library
from terminal.options import PATH, Count, Number, json_option


@click.command("search", short_help="Who is in a picture.")
@click.argument("picture", type=PATH)
@click.option(
    "--group", "groups", multiple=True, metavar="GROUP", show_default="all",
    help="Where; may be repeated.",
)  # fmt: skip
@click.option("--users", type=Count(1, 1000), default=5, help="For each face.")
@click.option(
    "--threshold", type=Number(0, 100), default=80.0, metavar="SCORE", help="From 0 to 100."
)
@options.MAX_FACES
@click.option("--aligned", is_flag=True, help="The picture already is an aligned face.")
@json_option
@options.APP
@options.SERVICE
@options.TIMEOUT
@options.with_session
def run(
    session: Session,
    picture: Path,
    groups: tuple[str, ...],
    users: int,
    threshold: float,
    max_faces: int,
    aligned: bool,
    as_json: bool,
    app: str,
    service: str,
    timeout: float,
) -> int:
    """Who is in a picture; exit status 1 where it is nobody of the library."""
    wanted = Options(
        max_faces=max_faces,
        want=("embedding",),
        embedding_format="base64",
        aligned=True if aligned else None,
    )
    seen = _seen(session, picture, wanted, service, timeout)
    queries = [face.embedding for face in seen.faces if face.embedding is not None]
    recogniser = session.recogniser(seen.recogniser)
    with session.store() as store:
        if app not in store.versions(app):
            raise NotFoundError("app_not_found", f"There is no app {app}.")
    with (
        session.bar("faces") as advance,
        Library(session.library, recogniser, apps=[app], progress=lambda _: advance) as library,
    ):
        found = library.search(app, queries, groups or None, users, threshold)
    if as_json:
        _print_json(seen, found)
    else:
        _show(session, seen, found)
    return DONE if any(found) else FAILED


def _seen(session: Session, picture: Path, wanted: Options, service: str, timeout: float) -> Seen:
    try:
        content = read_regular(picture, session.config.limits.picture_bytes, follow=True)
    except NotReadableError as error:
        raise CommandError(f"{picture} cannot be read: {error}") from None
    transport = session.connect(service, timeout)
    try:
        return Asker(transport, wanted).faces(content)
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
