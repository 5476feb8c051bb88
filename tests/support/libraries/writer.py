"""Processes that write into a library, to be run side by side and to be killed."""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from library.store.store import Store
from settings.library import LibraryConfig
from tests.support.libraries.faces import enrolment

APP, GROUP = "shop", "staff"

# Forks from a process that has the modules loaded: a writer runs within milliseconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.libraries.writer"])


def start_writer(url: str, journal: Path, name: str, calls: int, timeout_s: float) -> BaseProcess:
    """Start `write` in a process of its own."""
    process = _CONTEXT.Process(
        target=write, args=(url, str(journal), name, calls, timeout_s), daemon=True
    )
    process.start()
    return process


def write(url: str, journal: str, name: str, calls: int, timeout_s: float) -> None:
    """Enrol and delete at random, `calls` times.

    The journal gets a line with a sign and tokens before every call ("?+" or "?-") and after it
    ("+" or "-"), in one system call each: what stands there survives the process.
    """
    choose = random.Random(name)
    lines = os.open(journal, os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def note(sign: str, tokens: Sequence[str]) -> None:
        os.write(lines, f"{sign} {' '.join(tokens)}\n".encode())

    there: list[list[str]] = []
    with Store(LibraryConfig(database=url, database_timeout_s=timeout_s)) as store:
        for call in range(calls):
            if there and choose.random() < 0.2:
                gone = there.pop(choose.randrange(len(there)))
                note("?-", gone)
                store.delete_user(APP, user_of(gone[0]))
                note("-", gone)
            else:
                tokens = [f"{name}_{call}_{number}" for number in range(choose.choice((1, 1, 5)))]
                faces = [
                    enrolment(GROUP, user_of(tokens[0]), choose.randrange(1000), token=token)
                    for token in tokens
                ]
                note("?+", tokens)
                store.enrol(APP, faces)
                note("+", tokens)
                there.append(tokens)


def user_of(token: str) -> str:
    """The user whom a writer enrols a token's face for."""
    return token.rpartition("_")[0]


class Journal:
    """What a journal says. sure: tokens that are in. maybe: those of calls that did not return.

    gone: tokens that are out for sure.
    """

    def __init__(self, path: Path) -> None:
        self.sure: set[str] = set()
        self.maybe: set[str] = set()
        self.gone: set[str] = set()
        for line in path.read_text().splitlines() if path.exists() else ():
            sign, *tokens = line.split()
            if sign in ("?+", "?-"):
                self.sure.difference_update(tokens)
                self.maybe.update(tokens)
            else:
                self.maybe.difference_update(tokens)
                (self.sure if sign == "+" else self.gone).update(tokens)
