"""The indexes of all apps, kept up to date: by this process's writes, and by polling."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from library.errors import IndexUnavailableError, LibraryError
from library.records import AppState, IndexPlace
from library.store.change_log import ChangeLog
from library.sync.app_index import WAITED_FOR, AppIndex
from library.sync.index_update import Progress, no_progress
from library.sync.open_storage import open_storage
from settings.library import LibraryConfig

LOG = logging.getLogger("library")

# How often is looked whether a snapshot is due, and old removals are dropped from the database.
_UPKEEP_S = 1.0
_PRUNE_S = 3600.0

# Called with an app's name; what it returns is called with how far its index is.
AppProgress = Callable[[str], Progress]


class AppIndexes:
    """An index per app, each at most a polling interval behind the database.

    only: the apps that matter; None for all.
    """

    def __init__(
        self, config: LibraryConfig, changes: ChangeLog, only: Collection[str] | None = None
    ) -> None:
        self._changes = changes
        self._only = only
        self._storage = open_storage(config)
        self._poll_s = config.index.poll_ms / 1000
        self._snapshot_s = float(config.index.snapshot_interval_s)
        self._apps: dict[str, AppIndex] = {}
        self._adding = threading.Lock()
        self._ending = threading.Event()
        # Builds take long; one after the other, so that they do not take the searches' cores.
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="index-builder")
        self._builds: dict[str, Future[None]] = {}
        self._complaints: dict[str, str] = {}
        self._threads = [
            threading.Thread(target=self._poll, name="app-indexes", daemon=True),
            threading.Thread(target=self._do_upkeep, name="index-upkeep", daemon=True),
        ]

    def start(self, progress: AppProgress = lambda _: no_progress) -> None:
        """Open the index of every app and bring it up to date; go on with that in the background.

        An index whose server is away is tried again later. Raises DatabaseError.
        """
        states = self._states()
        if self._only is None:
            self._storage.sweep({state.id for state in states.values()})
        for name, state in states.items():
            try:
                app = self._app(name)
                app.update_to(state, app.stale_mark, progress(name))
            except IndexUnavailableError as error:
                self._complain(name, error.message)
        for thread in self._threads:
            thread.start()

    def app(self, name: str) -> AppIndex:
        """The index of an app that is known to be there; up to date where it was stale."""
        app = self._app(name)
        if app.stale and not app.building:
            self.catch_up(name)
        return app

    def check(self) -> None:
        """Raise IndexUnavailableError where an app's index is being filled or cannot be opened."""
        for app in list(self._apps.values()):
            app.get()

    def places(self) -> dict[str, IndexPlace]:
        """How far each app's index is, by the app's name. Raises DatabaseError."""
        return {
            name: IndexPlace(state.version, self._app(name).reached(state))
            for name, state in self._states().items()
        }

    def catch_up(self, name: str) -> None:
        """Bring an app's index to what the database has committed by now.

        Where the index is being built that is left to the background. Raises
        IndexUnavailableError and DatabaseError; the index is marked as stale then.
        """
        app = self._app(name)
        if app.building:
            app.mark_stale()
            return
        mark = app.stale_mark
        try:
            state = self._changes.versions(name).get(name)
        except LibraryError:
            app.mark_stale()
            raise
        if state is None:
            self._drop(name)
        elif app.needs_changes_only(state) or state.entries <= WAITED_FOR:
            app.update_to(state, mark)
        else:
            app.mark_stale()
            self._build(name, partial(app.update_to, state, mark))

    def discard(self, name: str, state: AppState) -> None:
        """Close the index of an app that is going, and delete everything that is kept of it.

        state: of the app. Raises IndexUnavailableError where it cannot be deleted now.
        """
        with self._adding:
            app = self._apps.pop(name, None)
        if app is not None:
            app.close()
        self._storage.discard_of(state, name)

    def save(self, name: str) -> None:
        """Write the snapshot of an app now, where it has changed. Raises OSError."""
        self._app(name).save()

    def close(self) -> None:
        """Write what snapshots are due, and end."""
        self._ending.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._builder.shutdown(cancel_futures=True)
        for app in list(self._apps.values()):
            self._save(app)
            app.close()

    def _states(self) -> dict[str, AppState]:
        states = self._changes.versions()
        if self._only is None:
            return states
        return {name: state for name, state in states.items() if name in self._only}

    def _app(self, name: str) -> AppIndex:
        with self._adding:
            if name not in self._apps:
                self._apps[name] = AppIndex(name, self._changes, self._storage)
            return self._apps[name]

    def _drop(self, name: str) -> None:
        with self._adding:
            app = self._apps.pop(name, None)
        if app is not None:
            app.drop()

    def _poll(self) -> None:
        while not self._ending.wait(self._poll_s):
            marks = {name: app.stale_mark for name, app in list(self._apps.items())}
            try:
                states = self._states()
            except LibraryError as error:
                self._complain("", error.message)
                continue
            self._settle("")
            for name in self._apps.keys() - states.keys():
                # An app may have been made since: only a look at it alone makes sure.
                self._attempt(name, partial(self.catch_up, name))
            for name, state in states.items():
                self._synchronise(self._app(name), state, marks.get(name, 0))

    def _synchronise(self, app: AppIndex, state: AppState, mark: int) -> None:
        if not app.is_current(state):
            work = partial(app.update_to, state, mark)
            if app.needs_changes_only(state) and not app.building:
                self._attempt(app.name, work)
            else:
                self._build(app.name, work)
        elif app.is_outgrown(state):
            self._build(app.name, partial(app.reopen, state))

    def _build(self, name: str, work: Callable[[], None]) -> None:
        """Do it in the background, unless there is such work for the app already."""
        with self._adding:
            build = self._builds.get(name)
            if (build is None or build.done()) and not self._ending.is_set():
                self._builds[name] = self._builder.submit(self._attempt, name, work)

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Work for an app in the background; what fails is tried again at the next look."""
        try:
            work()
        except LibraryError as error:
            self._complain(name, error.message)
        except Exception:
            LOG.exception("app %s: its index could not be brought up to date", name)
        else:
            self._settle(name)

    def _complain(self, name: str, message: str) -> None:
        """One line for the same trouble, however often it is met. name: "" for the database."""
        if self._complaints.get(name) != message:
            self._complaints[name] = message
            LOG.warning("%s: %s", f"app {name}" if name else "the database", message)

    def _settle(self, name: str) -> None:
        if self._complaints.pop(name, None) is not None:
            LOG.warning("%s: all is well again", f"app {name}" if name else "the database")

    def _do_upkeep(self) -> None:
        pruned = time.monotonic()
        while not self._ending.wait(_UPKEEP_S):
            for app in list(self._apps.values()):
                if app.wants_saving(self._snapshot_s):
                    self._save(app)
            if time.monotonic() - pruned >= _PRUNE_S:
                pruned = time.monotonic()
                self._attempt("", self._prune)

    def _prune(self) -> None:
        self._changes.prune_removals()

    def _save(self, app: AppIndex) -> None:
        try:
            app.save()
        except OSError as error:
            self._complain(app.name, f"no snapshot was written: {error}")
