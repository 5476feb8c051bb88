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

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.database_server import MissingProgramError
from bench.killing.databases import Database, PostgreSqlServer, Sqlite
from bench.killing.installation import PipelineSettings, read_settings, write_pipeline
from bench.killing.processes import Programs, Supervisor, supervisor
from bench.killing.record import Record
from bench.killing.running import Run
from bench.killing.show import Bar, show
from bench.load.cpu import machine
from bench.load.outputs import output_file
from runtime.launch import ended_by_sigterm
from terminal.console import open_console

DATABASES: dict[str, Callable[[Path], Database]] = {
    "sqlite": Sqlite,
    "postgresql": PostgreSqlServer,
}


def main(argv: Sequence[str]) -> int:
    """Run it; 0 where nothing was lost, 1 otherwise, 130 when it was interrupted."""
    arguments = _parser().parse_args(argv)
    console = open_console()
    records: list[Record] = []
    status = 0
    try:
        with ended_by_sigterm():
            asyncio.run(_run(arguments, console, records))
    except KeyboardInterrupt:
        status = 130
        for record in records[-1:]:
            record.trouble = "interrupted"
    for record in records:
        show(record, console)
    if arguments.json:
        document = {"machine": machine(), "runs": [record.to_dict() for record in records]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return status or int(not records or any(record.complaints() for record in records))


async def _run(arguments: argparse.Namespace, console: Console, records: list[Record]) -> None:
    settings = read_settings(arguments.config)
    with ExitStack() as stack:
        folder = Path(arguments.keep or stack.enter_context(tempfile.TemporaryDirectory()))
        pipeline, programs = await _pipeline(settings, folder), Programs(folder)
        try:
            await programs.open()
            for name in arguments.database or DATABASES:
                started = (programs, pipeline)
                await _on(name, arguments, settings, folder, started, console, records)
        finally:
            await programs.close()
            await pipeline[0].end()


async def _on(
    name: str,
    arguments: argparse.Namespace,
    settings: Mapping[str, Any],
    folder: Path,
    started: tuple[Programs, tuple[Supervisor, PipelineSettings]],
    console: Console,
    records: list[Record],
) -> None:
    """One run; what goes wrong with it is its record's trouble."""
    own = folder / name
    own.mkdir()
    try:
        database = DATABASES[name](own)
    except MissingProgramError as error:
        console.print(f"{name} is left out: {error}", markup=False)
        return
    record = Record(name, arguments.seed)
    records.append(record)
    try:
        with Bar(console, name, arguments.kills) as bar:
            run = Run(settings, own, database, *started, record, arguments.clients)
            await run.go(arguments.kills, lambda: bar.show(record), lambda: bar.round(record))
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
        raise SystemExit((folder / "log").read_text(encoding="utf-8", errors="replace"))
    return process, about


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench kills", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--kills", type=_count, default=1000, metavar="N", help="on each database (default: 1000)")
    add("--seed", type=int, default=0, metavar="S", help="of the kills and the load (default: 0)")
    add("--database", action="append", choices=list(DATABASES), help="default: one after the other")
    add("--clients", type=_count, default=6, metavar="N", help="at a time (default: 6)")
    add("--config", type=Path, default=Path("config.yml"), metavar="FILE")
    add("--keep", type=Path, metavar="DIR", help="an empty folder that keeps all files and logs")
    add("--json", type=output_file, metavar="FILE")
    return parser
