"""What every command works with: the settings, the store, the running service, the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from client.pipeline.http import HttpTransport
from client.pipeline.rpc import RpcTransport
from client.pipeline.transport import Transport
from client.terminal.console import open_console
from inference.recogniser import recogniser_named
from inference.scores import Recogniser
from library.index.vector_index import VectorIndex
from library.records import AppState
from library.store.store import Store
from runtime import sqlite_files
from settings.config import Config, own_address
from settings.library import LibraryConfig

DONE, FAILED, WRONG_USAGE = 0, 1, 2

# Told how much is done of how much; the same as the store's and the indexes'.
Advance = Callable[[int, int], None]


class CommandError(Exception):
    """Something that ends the command; the text says what to do about it."""


@dataclass
class Session:
    """One run of a command. notes: standard error; out: standard output, for results."""

    config: Config
    library: LibraryConfig
    progress: bool = True
    notes: Console = field(default_factory=lambda: _console(stderr=True))
    out: Console = field(default_factory=lambda: _console(stderr=False))

    def __post_init__(self) -> None:
        # No command may read or replace them as if they were files of the operator's.
        sqlite_files.note(self.config.token_file())
        database = self.library.database_file()
        if database is not None:
            sqlite_files.note(database)

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The library's database."""
        with Store(self.library) as store:
            yield store

    @contextmanager
    def bar(self, text: str) -> Iterator[Advance]:
        """A progress bar on a terminal, otherwise nothing."""
        shown = self.progress and self.notes.is_terminal
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns, console=self.notes, transient=True, redirect_stdout=False, disable=not shown
        ) as progress:
            task = progress.add_task(text, total=None)

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            yield advance

    def connect(self, address: str, timeout: float) -> Transport:
        """A connection to the service; address: http://..., HOST:PORT for gRPC, "" for config.yml.

        Raises CommandError for an address that cannot be one.
        """
        try:
            if not address and not self.config.http_port:
                return RpcTransport(
                    own_address(self.config.rpc_host, self.config.rpc_port), timeout
                )
            if not address:
                host = own_address(self.config.http_host, self.config.http_port)
                return HttpTransport(f"http://{host}/{self.config.name}/prediction", timeout)
            if "://" in address:
                return HttpTransport(address, timeout)
            return RpcTransport(address, timeout)
        except (ValueError, ImportError) as error:
            raise CommandError(f"--service: {error}") from None

    def recogniser(self, name: str) -> Recogniser:
        """The recogniser of that name. Raises ManifestError where its scores are not known."""
        return recogniser_named(name, self.config.model_dir)


@dataclass(frozen=True)
class OpenIndex:
    """An index that a command has opened, and the state of the app that it shows."""

    index: VectorIndex
    state: AppState


def _console(**settings: Any) -> Console:
    # No markup: names and messages may hold brackets.
    return open_console(markup=False, soft_wrap=True, **settings)
