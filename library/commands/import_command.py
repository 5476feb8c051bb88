"""What `import` is told and what it shows."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from library.commands.importing import Import, Person, Report, Source, Target
from library.commands.person_folders import scan_folders
from library.commands.safe_files import write_whole
from library.commands.selection import REASONS, Selection
from library.commands.service_client import Asker
from library.commands.session import DONE, FAILED, Session
from library.errors import ExistsError
from terminal.table import FittingTable

# Refused pictures, and people, in the tables; the report has them all.
_SHOWN = 50
_SHOWN_PEOPLE = 1000


def run(session: Session, arguments: argparse.Namespace) -> int:
    """Import; 0 where every picture is enrolled, 1 where some were refused."""
    limits = session.library.limits
    root: Path = arguments.directory
    found = scan_folders(root, limits, arguments.by_id)
    source = Source(root, session.config.limits.picture_bytes)
    selection = Selection(
        several=arguments.several,
        max_faces=arguments.max_faces,
        min_score=arguments.min_score,
        min_size=arguments.min_size,
        min_sharpness=arguments.min_sharpness,
        crops=session.library.store_crops,
    )
    replace = arguments.action == "replace"
    target = Target(
        arguments.app,
        arguments.group,
        replace,
        limits.faces_per_user,
        limits.user_info_bytes,
        arguments.by_id,
    )
    transport = session.connect(arguments.service, arguments.timeout)
    try:
        with session.store() as store:
            with suppress(ExistsError):
                store.create_group(target.app, target.group)
            work = Import(store, Asker(transport, selection.options()), selection, target, source)
            try:
                with session.bar("pictures") as advance:
                    work.run(found, arguments.concurrency, advance)
            finally:
                _show(work.report, session.out)
                show_ignored(work.report, session.out)
                if arguments.report is not None:
                    text = json.dumps(work.report.to_dict(), ensure_ascii=False, indent=1)
                    write_whole(arguments.report, f"{text}\n".encode())
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
