"""Another process with the same library open, told what to do through a pipe."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.support.libraries.faces import enrolment
from tests.support.libraries.in_folder import found_users, open_library

APP, GROUP = "shop", "staff"

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.libraries.peer"])


class Peer:
    """The other process. Every call waits for its answer."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(target=_serve, args=(folder, settings, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def enrol(self, user: str, seed: int) -> None:
        self._ask("enrol", user, seed)

    def delete(self, user: str) -> None:
        self._ask("delete", user, 0)

    def best(self, seed: int) -> list[str]:
        """Who is found by the face of a seed, best first."""
        return list(self._ask("best", "", seed))

    def begin_enrolling(self, first: int) -> None:
        """Enrol u1, u2, ... from a seed on, until it is killed; `enrolled` takes what it says."""
        self._pipe.send(("forever", "", first))

    def enrolled(self, seconds: float) -> str:
        """The next user that it has enrolled; empty where it says nothing any more."""
        try:
            return str(self._pipe.recv()) if self._pipe.poll(seconds) else ""
        except EOFError:
            return ""

    def end(self) -> None:
        """Let it close the library and end."""
        if self.process.is_alive():
            self._pipe.send(("end", "", 0))
            self.process.join(20)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join()

    def _ask(self, *what: Any) -> Any:
        self._pipe.send(what)
        return self._pipe.recv()


@contextmanager
def peer(folder: Path, **settings: Any) -> Iterator[Peer]:
    """A process that is gone afterwards."""
    made = Peer(folder, settings)
    try:
        yield made
    finally:
        if made.process.is_alive():
            made.kill()


def _serve(folder: Path, settings: dict[str, Any], pipe: Connection) -> None:
    with open_library(folder, **settings) as library:
        while True:
            what, user, seed = pipe.recv()
            if what == "end":
                return
            if what == "best":
                pipe.send(found_users(library, seed, APP))
            elif what == "delete":
                library.delete_user(APP, user)
                pipe.send(None)
            elif what == "enrol":
                library.enrol(APP, [enrolment(GROUP, user, seed)])
                pipe.send(None)
            else:
                while True:
                    library.enrol(APP, [enrolment(GROUP, f"u{seed}", seed)])
                    pipe.send(f"u{seed}")
                    seed += 1
