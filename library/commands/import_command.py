"""What `import` is told and what it shows."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from client.terminal.table import FittingTable
from library.commands import options
from library.commands.importing import Import, Person, Report, Source, Target
from library.commands.person_folders import scan_folders
from library.commands.safe_files import write_whole
from library.commands.selection import REASONS, Selection
from library.commands.service_client import Asker
from library.commands.session import DONE, FAILED, Session
from library.errors import ExistsError
from terminal.options import PATH, Count, Number

# Refused pictures, and people, in the tables; the report has them all.
_SHOWN = 50
_SHOWN_PEOPLE = 1000


@click.command("import", short_help="Enrol a folder of pictures per person.")
@click.argument("directory", type=PATH, metavar="DIR")
@click.option("--group", required=True, help="Where the users go; made where it is not there.")
@options.APP
@click.option(
    "--action",
    type=click.Choice(["append", "replace"]),
    default="append",
    help="Keep the faces that a user has, or exchange them.",
)
@click.option(
    "--by-id",
    is_flag=True,
    help="The folders are named by user ids, and the users may have any names.",
)
@click.option(
    "--several",
    type=click.Choice(["largest", "refuse"]),
    default="largest",
    help="Of several faces in a picture: take the largest, or none.",
)
@options.MAX_FACES
@click.option("--min-score", type=Number(0, 1), help="Of a detection.")
@click.option(
    "--min-size",
    type=Count(0, 100_000),
    default=0,
    metavar="PIXELS",
    help="Of a face's shorter side.",
)
@click.option(
    "--min-sharpness",
    type=Number(0, 1e6),
    default=0.0,
    help="Of the aligned face (variance of its Laplacian); 0 for any.",
)
@click.option(
    "--report", type=PATH, metavar="FILE", help="Write what became of whom, and why, as JSON."
)
@options.SERVICE
@options.TIMEOUT
@options.CONCURRENCY
@options.with_session
def run(
    session: Session,
    directory: Path,
    group: str,
    app: str,
    action: str,
    by_id: bool,
    report: Path | None,
    service: str,
    timeout: float,
    concurrency: int,
    **chosen: Any,
) -> int:
    """Enrol DIR's pictures, a folder per person that is named like the person.

    Exit status 1 where some were refused.
    """
    limits = session.library.limits
    found = scan_folders(directory, limits, by_id)
    source = Source(directory, session.config.limits.picture_bytes)
    selection = Selection(**chosen, crops=session.library.store_crops)
    replace = action == "replace"
    target = Target(app, group, replace, limits.faces_per_user, limits.user_info_bytes, by_id)
    transport = session.connect(service, timeout)
    try:
        with session.store() as store:
            with suppress(ExistsError):
                store.create_group(target.app, target.group)
            work = Import(store, Asker(transport, selection.options()), selection, target, source)
            try:
                with session.bar("pictures") as advance:
                    work.run(found, concurrency, advance)
            finally:
                _show(work.report, session.out)
                show_ignored(work.report, session.out)
                if report is not None:
                    text = json.dumps(work.report.to_dict(), ensure_ascii=False, indent=1)
                    write_whole(report, f"{text}\n".encode())
    finally:
        transport.close()
    return FAILED if work.report.refused else DONE


def show_ignored(report: Report, out: Console) -> None:
    """Name what was not looked at: a picture may have lost its suffix."""
    if report.ignored:
        names = ", ".join(map(escape, report.ignored[:_SHOWN]))
        more = f" and {len(report.ignored) - _SHOWN} more" if len(report.ignored) > _SHOWN else ""
        out.print(f"not looked at: {names}{more}")


def _show(report: Report, out: Console) -> None:
    state = "" if report.finished else "; not finished, run it again to go on"
    out.print(
        f"{report.enrolled} of {report.pictures} pictures enrolled for {report.users} users of "
        f"group {report.group} in app {report.app}, {report.present} were there, "
        f"{len(report.refused)} refused{state}"
    )
    if report.ignored:
        out.print(f"{len(report.ignored)} other files or hidden folders were not looked at")
    _show_people(list(report.people.values()), out)
    if not report.refused:
        return
    table = FittingTable().words("picture").names("reason").words("detail")
    for one in report.refused[:_SHOWN]:
        table.add_row(one.picture, one.reason, one.detail)
    out.print(table)
    counts = Counter(one.reason for one in report.refused)
    for reason, count in counts.most_common():
        out.print(f"{count} x {reason}: {REASONS[reason]}")


def _show_people(people: list[Person], out: Console) -> None:
    """Which user each name has, and what became of its pictures."""
    if not people:
        return
    table = FittingTable().words("name").names("user id")
    table.figures("added", "there", "left out").words("why")
    for one in people[:_SHOWN_PEOPLE]:
        why = ", ".join(f"{count} {reason}" for reason, count in one.left_out.items())
        figures = (one.enrolled, one.present, sum(one.left_out.values()))
        table.add_row(one.name, one.user, *map(str, figures), why)
    out.print(table)
    if len(people) > _SHOWN_PEOPLE:
        out.print(f"and {len(people) - _SHOWN_PEOPLE} more people; --report FILE has them all")
