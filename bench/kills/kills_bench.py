"""Processes killed at random under load, and what was acknowledged: ``python -m bench kills``.

Clients enrol, copy, move, search and delete over the REST gateway; an operator makes and revokes
keys, imports, deletes, backs up, restores, exports and verifies. Meanwhile SIGKILL ends, at random
moments: the gateway (also while it starts), the pipeline, the whole service by its supervisor,
commands in the middle of their work, several at once, and where the database is a server, that
and its sessions.

Every operation was acknowledged, refused, or its outcome is unknown; after each restart what the
service lists is held against that, as are backups and exports. At the end everything is looked at
from cold. Exit status 0 only where nothing acknowledged was lost, nothing deleted came back, no
revoked key was answered after its documented second, and `python -m library verify` finds nothing.
The order of kills follows from `--seed`; what is under way at each is chance. Ctrl-C ends it with
what there is.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from bench.frame import CONFIG, Bench, benchmark
from bench.kills.database_server import MissingProgramError
from bench.kills.databases import Database, PostgreSqlServer, Sqlite
from bench.kills.installation import PipelineSettings, read_settings, write_pipeline
from bench.kills.processes.processes import Programs, Supervisor, supervisor
from bench.kills.record import Record
from bench.kills.running import Run
from bench.kills.show import Bar, show
from terminal.options import PATH, Count

DATABASES: dict[str, Callable[[Path], Database]] = {
    "sqlite": Sqlite,
    "postgresql": PostgreSqlServer,
}


async def _run(bench: Bench, records: list[Record]) -> None:
    asked = bench.asked
    settings = read_settings(asked.config)
    with ExitStack() as stack:
        folder = Path(asked.keep or stack.enter_context(tempfile.TemporaryDirectory()))
        pipeline, programs = await _pipeline(settings, folder), Programs(folder)
        try:
            await programs.open()
            for name in asked.database or DATABASES:
                await _on(name, bench, settings, folder, (programs, pipeline), records)
        finally:
            await programs.close()
            await pipeline[0].end()


async def _on(
    name: str,
    bench: Bench,
    settings: Mapping[str, Any],
    folder: Path,
    started: tuple[Programs, tuple[Supervisor, PipelineSettings]],
    records: list[Record],
) -> None:
    """One run; what goes wrong with it is its record's trouble."""
    asked, own = bench.asked, folder / name
    own.mkdir()
    try:
        database = DATABASES[name](own)
    except MissingProgramError as error:
        bench.notes.print(f"{name} is left out: {error}")
        return
    record = Record(name, asked.seed)
    records.append(record)
    try:
        with Bar(bench.notes, name, asked.kills) as bar:
            run = Run(settings, own, database, *started, record, asked.clients)
            await run.go(asked.kills, lambda: bar.show(record), lambda: bar.round(record))
    except (TimeoutError, RuntimeError, OSError) as error:
        record.trouble = f"{type(error).__name__}: {error}"
    finally:
        await started[0].kill_all()
        await database.remove()


async def _pipeline(
    settings: Mapping[str, Any], folder: Path
) -> tuple[Supervisor, PipelineSettings]:
    """A service without a gateway, whose supervisor starts the pipeline again."""
    about = write_pipeline(settings, folder)
    process = await supervisor("pipeline", about.config, folder / "log")
    if not await process.is_ready():
        raise RuntimeError((folder / "log").read_text(encoding="utf-8", errors="replace"))
    return process, about


@benchmark(
    click.option("--kills", type=Count(1), default=1000, help="On each database."),
    click.option("--seed", type=int, default=0, help="Of the kills and the load."),
    click.option("--database", multiple=True, type=click.Choice(list(DATABASES)),
                 help="May be repeated.  [default: one after the other]"),
    click.option("--clients", type=Count(1), default=6, help="At a time."),
    CONFIG,
    click.option("--keep", type=PATH, metavar="DIR",
                 help="An empty folder that keeps all files and logs."),
)  # fmt: skip
def main(bench: Bench) -> None:
    """Nothing acknowledged may be lost; what there is, also where it is interrupted."""
    records: list[Record] = []
    try:
        asyncio.run(_run(bench, records))
    except KeyboardInterrupt:
        for record in records[-1:]:
            record.trouble = "interrupted"
        raise
    finally:
        for record in records:
            show(record, bench.console)
            words = f"{record.database}: nothing acknowledged was lost"
            bench.expected[words] = not record.complaints()
        bench.results = {"runs": [record.to_dict() for record in records]}
    if not records:
        raise RuntimeError("there is no database to measure on")
